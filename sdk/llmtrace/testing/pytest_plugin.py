"""Fixtures for pytest. A project asks for them by one line in its conftest.py:

    pytest_plugins = ["llmtrace.testing.pytest_plugin"]

They are not loaded by an entry point: llmtrace is installed where programs run, and an entry point would be
imported at the start of every run of pytest there, for nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .memory import Captured, capture
from .replayed_trace import ReplayDifference, ReplayedTrace


@pytest.fixture
def llmtrace_settings() -> dict[str, Any]:
    """Arguments of `llmtrace.init` for the fixture `captured`; override it to change them."""
    return {}


@pytest.fixture
def captured(llmtrace_settings: dict[str, Any]) -> Iterator[Captured]:
    """What the test traced: `.calls`, `.tools`, `.tokens`, `.cost`. Nothing is sent to any collector."""
    with capture(**{"sample_rate": 1.0, "rules": (), **llmtrace_settings}) as traces:
        yield traces


@pytest.fixture
def replayed(captured: Captured) -> Iterator[Callable[..., ReplayedTrace]]:
    """A function: recorded calls → a `ReplayedTrace`, whose answers the program gets until the test ends.

    No request leaves this machine meanwhile. Where requests differ from the recorded ones is a warning.
    """
    traces: list[ReplayedTrace] = []
    with ExitStack() as stack:

        def start(calls: Any, **options: Any) -> ReplayedTrace:
            traces.append(stack.enter_context(ReplayedTrace.started(calls, captured, **options)))
            return traces[-1]

        yield start
    for trace in traces:
        for text in trace.differences:
            warnings.warn(ReplayDifference(f"\n{text}"), stacklevel=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what it captured."""
    report = yield
    traces = getattr(item, "funcargs", {}).get("captured")
    if report.when == "call" and report.failed and isinstance(traces, Captured):
        report.sections.append(("llmtrace", _described(traces)))
    return report


def _described(traces: Captured) -> str:
    calls, runs = traces.calls, traces.tools
    tokens, cost = traces.tokens, traces.cost
    lines = [f"{number}. {call!r}" for number, call in enumerate(calls, 1)]
    lines += [f"tool {run!r}" for run in runs]
    price = f"${cost:.6f}" if cost is not None else f"cost unknown: {'; '.join(traces.cost_unknown)}"
    return "\n".join([*lines, f"{len(calls)} calls, {tokens.input}+{tokens.output} tokens, {price}"])
