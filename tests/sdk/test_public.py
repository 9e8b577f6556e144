"""The public surface: names, types, and what stays out."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import pkgutil
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import assert_type

import httpx
import pytest

import llmtrace
import llmtrace.testing
from llmtrace import semconv
from llmtrace.testing import ReplayServer
from llmtrace.wire import registry
from llmtrace.wire.format import WireFormat
from llmtrace.wire.registry import FORMATS, recognise

from .chat import REQUEST, STREAM

DOCS = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text(encoding="utf-8")


def test_exported_members() -> None:
    for name in llmtrace.__all__:
        assert inspect.getdoc(getattr(llmtrace, name)), name
    assert llmtrace.testing.__all__ == [
        "Answer",
        "Call",
        "Captured",
        "EntryError",
        "FillIn",
        "Received",
        "ReplayDifference",
        "ReplayServer",
        "ReplayedTrace",
        "SequentialIds",
        "SteppingClock",
        "Tokens",
        "ToolRequest",
        "ToolRun",
        "capture",
        "sse",
    ]


def test_the_docs_have_every_name_and_no_other() -> None:
    """Each exported name is written `llmtrace.name` in docs/sdk.md; what is written so exists."""
    documented = set(re.findall(r"\bllmtrace\.([A-Za-z_]+)", DOCS))
    assert documented >= set(llmtrace.__all__) | {"__version__"}
    attributes = {name.split(".")[1] for name in vars(semconv).values() if str(name).startswith("llmtrace.")}
    submodules = {module.name for module in pkgutil.iter_modules(llmtrace.__path__)}
    assert not documented - set(dir(llmtrace)) - attributes - submodules - {"example"}
    for name in llmtrace.testing.__all__:
        assert f"`{name}" in DOCS or f"testing.{name}" in DOCS, name


def test_dir_shows_the_api_and_nothing_else() -> None:
    names = dir(llmtrace)
    assert [name for name in names if not name.startswith("__")] == sorted(llmtrace.__all__)
    assert all(hasattr(llmtrace, name) for name in names)
    assert llmtrace.__version__ == importlib.metadata.version("llmtrace")


def test_a_part_of_the_package_does_not_load_the_sdk() -> None:
    """The command line and the services use `llmtrace.common`; the names come when they are used."""
    code = (
        "import sys, llmtrace, llmtrace.common.loopback; "
        "early = [name for name in sys.modules if name.startswith(('opentelemetry', 'llmtrace.'))]; "
        "llmtrace.__version__, llmtrace.__dir__(); "
        "from llmtrace import *; init; from llmtrace import Span; print(*sorted(early))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["llmtrace.common", "llmtrace.common.loopback"]


def test_names_may_be_used_first_by_many_threads_at_once() -> None:
    code = (
        "import threading, llmtrace\n"
        "barrier, results = threading.Barrier(8), []\n"
        "def use(name):\n"
        "    barrier.wait(10)\n"
        "    results.append(getattr(llmtrace, name))\n"
        "threads = [threading.Thread(target=use, args=(name,)) for name in llmtrace.__all__[:8]]\n"
        "[thread.start() for thread in threads], [thread.join(30) for thread in threads]\n"
        "assert len(results) == 8\n"
        "assert set(results) == {getattr(llmtrace, name) for name in llmtrace.__all__[:8]}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_former_name_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="llmtrace.BudgetStatus"):
        former = getattr(llmtrace, "BudgetStanding")  # noqa: B009
    assert former is llmtrace.BudgetStatus
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(llmtrace, "Nothing")  # noqa: B009


def test_observe_keeps_the_functions_type() -> None:
    @llmtrace.observe
    def plain(number: int) -> str:
        return str(number)

    @llmtrace.observe(name="named")
    async def named(number: int) -> str:
        return str(number)

    assert_type(plain(1), str)
    assert inspect.iscoroutinefunction(named)
    assert_type(llmtrace.flush(), bool)
    assert_type(llmtrace.current_trace_id(), str | None)


def test_the_public_types() -> None:
    """Checked by mypy; here it only has to run."""

    @llmtrace.agent(name="a")
    async def run(number: int) -> list[str]:
        return [str(number)]

    @llmtrace.observe
    def pieces() -> Iterator[int]:
        yield 1

    @llmtrace.tool
    def tool(*, city: str) -> float:
        return 1.0

    assert_type(asyncio.run(run(1)), list[str])
    assert_type(pieces(), Iterator[int])
    assert_type(tool(city="Bonn"), float)
    assert_type(llmtrace.stats(), llmtrace.Stats)
    assert_type(llmtrace.stats().spooled, int)
    assert_type(llmtrace.shutdown(), bool)
    assert_type(llmtrace.disable(), None)
    assert_type(llmtrace.SampleRule(rate=0.5).attributes, Mapping[str, str])
    with llmtrace.testing.capture() as captured:
        assert_type(captured, llmtrace.testing.Captured)
    with pytest.raises(TypeError):
        tool(town="Bonn")  # type: ignore[call-arg]


def test_repeatable_ids() -> None:
    with llmtrace.testing.capture(id_generator=llmtrace.testing.SequentialIds()) as traces:

        @llmtrace.observe(name="outer")
        def outer() -> None:
            llmtrace.observe(lambda: None)()

        outer()
        inner, first = traces.spans()
    assert [(span.context.trace_id, span.context.span_id) for span in (first, inner)] == [(1, 1), (1, 2)]


def test_repeatable_times() -> None:
    """Two runs give the same spans, ids and times and first chunks included."""

    def run() -> list[tuple[str, str]]:
        clock = llmtrace.testing.SteppingClock(step=0.5)

        @llmtrace.tool
        def wait() -> None:
            clock.advance(60)

        with (
            ReplayServer(STREAM) as server,
            llmtrace.testing.capture(id_generator=llmtrace.testing.SequentialIds(), clock=clock) as traces,
            httpx.Client() as client,
        ):
            body = {**REQUEST, "stream": True}
            with client.stream("POST", server.url + "/v1/chat/completions", json=body) as answer:
                answer.read()
            wait()
            llmtrace.score("good", 1)
            scores = [str(record) for record in traces.scores()]
            spans = [span.to_json().replace(str(server.port), "port") for span in traces.spans()]
            lengths = [(span.end_time or 0) - (span.start_time or 0) for span in traces.spans()]
        assert lengths[0] >= 500_000_000
        assert lengths[1] == 60_500_000_000
        return [*zip(spans, scores * 2, strict=True)]

    first = run()
    assert first == run()
    assert "2026-01-01T00:00:0" in first[0][0]
    with llmtrace.testing.capture() as traces:
        llmtrace.observe(lambda: None)()
        (span,) = traces.spans()
    assert abs((span.start_time or 0) - time.time_ns()) < 3600 * 10**9, "afterwards time is real again"


def test_recognised_by_shape() -> None:
    body = b'{"messages": []}'
    chat = FORMATS[0]
    for path in (
        "/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/gpt/chat/completions",
        "/chat/completions",
    ):
        assert recognise(path, body) is chat
    assert recognise("/v1/chat/completions", b"{}") is None
    assert recognise("/v1/completions", body) is None


def test_few_formats_are_asked_about_an_unknown_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the caller who waits for that."""
    asked: list[str] = []

    def watched(wire_format: WireFormat) -> WireFormat:
        def matches(path: str, body: bytes) -> bool:
            asked.append(path)
            return wire_format.matches(path, body)

        return replace(wire_format, matches=matches)

    assert all(wire_format.endings or wire_format.words for wire_format in FORMATS)
    monkeypatch.setattr(registry, "FORMATS", tuple(watched(wire_format) for wire_format in FORMATS))
    body = b'{"inputs": "a", "parameters": {}}'
    for path in ("/api/orders", "/api/v2/orders/17", "/api/things", "/models", "/model/runs/agent"):
        assert recognise(path, body) is None
    assert set(asked) <= {"/models"}
    for path in ("/", "/models/a/b", "/v4/accounts/1/ai/run/@cf/a/b", "/v1/applications/a"):
        assert recognise(path, body) is not None, path
    assert recognise("/agents/a", b'{"foundationModel": "m"}') is not None
    assert recognise("/flows/a/aliases/b", body) is not None
