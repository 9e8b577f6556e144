"""A context that goes to another process: written, read, taken along by a function; odd messages."""

from __future__ import annotations

import asyncio
import json
import pickle
import queue
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace

import llmtrace
from llmtrace import semconv
from llmtrace.spans import context_attributes
from llmtrace.spans.capture_level import CAPTURES, Capture
from llmtrace.testing import Captured, capture

TEXTS = st.text(max_size=20)
FIELDS = ("user_id", "session_id", "experiment", "run", "prompt_name", "prompt_version")


def seen() -> tuple[str | None, dict[str, Any], Capture | None]:
    """The trace, the attributes and what is said of content."""
    span = trace.get_current_span().get_span_context()
    content = context_attributes.capture_of(otel_context.get_current())
    return (
        (f"{span.trace_id:032x}" if span.is_valid else None),
        dict(context_attributes.attributes()),
        content,
    )


@llmtrace.observe
def seen_within() -> tuple[str | None, dict[str, Any], Capture | None]:
    return seen()


async def seen_later() -> tuple[str | None, dict[str, Any], Capture | None]:
    await asyncio.sleep(0)
    return seen()


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, TEXTS)),
    st.lists(TEXTS, max_size=3, unique=True),
    st.sampled_from([None, *CAPTURES]),
    st.sampled_from([None, *semconv.PURPOSES]),
    st.booleans(),
)
def test_what_is_injected_is_extracted(
    named: Mapping[str, Any], tags: list[str], content: Capture | None, purpose: str | None, has_span: bool
) -> None:
    """Also by way of JSON, as most queues send it, and of a function that is pickled."""
    with capture():
        with llmtrace.context(**named, tags=tags or None, purpose=purpose, capture=content):
            block = llmtrace.span("request") if has_span else None
            if block is not None:
                block.__enter__()
            wanted = seen()
            carrier = llmtrace.inject()
            taken_along = pickle.loads(pickle.dumps(llmtrace.propagate(seen)))
            if block is not None:
                block.__exit__(None, None, None)
        assert all(text.isascii() for text in carrier.values())
        assert (carrier == {}) == (wanted == (None, {}, None))
        with llmtrace.extract(json.loads(json.dumps(carrier))):
            assert seen() == wanted
            assert _decoded(llmtrace.inject()) == _decoded(carrier)
        assert taken_along() == wanted
        assert pickle.loads(pickle.dumps(taken_along))() == wanted
        assert seen() == (None, {}, None)


def _decoded(carrier: Mapping[str, str]) -> dict[str, Any]:
    return {**carrier, "llmtrace-context": json.loads(carrier.get("llmtrace-context", "{}"))}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["traceparent", "tracestate", "llmtrace-context", "other"])


@given(
    st.dictionaries(NAMES, st.text(max_size=60) | JSON | JSON.map(json.dumps), max_size=4) | st.none(),
    st.dictionaries(
        st.sampled_from(["user.id", "llmtrace.tags", "llmtrace.counted", "llmtrace.purpose", "capture"]),
        JSON,
    ),
)
def test_whatever_a_message_holds_the_task_runs(
    carrier: dict[str, Any] | None, values: dict[str, Any]
) -> None:
    """And nothing gets on a span that `llmtrace.context` could not have put there."""
    with capture(strict=False):
        for message in (carrier, {**(carrier or {}), "llmtrace-context": json.dumps(values)}):
            with llmtrace.extract(message):
                _, attributes, content = seen()
        assert attributes.keys() <= {"user.id", "llmtrace.tags", "llmtrace.purpose"}
        assert isinstance(attributes.get("user.id", ""), str)
        assert all(isinstance(tag, str) for tag in attributes.get("llmtrace.tags", ()))
        assert content in (None, *CAPTURES)
        assert seen() == (None, {}, None)


def test_the_far_side_continues_the_trace(traces: Captured) -> None:
    with llmtrace.context(user_id="ann"), llmtrace.span("request"):
        carrier = llmtrace.inject()
    with llmtrace.extract(carrier), llmtrace.span("task"):
        pass
    request, task = traces.spans()
    assert task.parent is not None
    assert task.parent.is_remote
    assert (task.parent.trace_id, task.parent.span_id) == (request.context.trace_id, request.context.span_id)
    assert dict(task.attributes or {})["user.id"] == "ann"


def test_a_span_of_the_same_trace_stays_the_parent(traces: Captured) -> None:
    """Another tracer carries the trace as well, and has a span around the task."""
    with llmtrace.context(user_id="ann"), llmtrace.span("request") as request:
        carrier = llmtrace.inject()
        with llmtrace.span("their span of the task") as theirs, llmtrace.extract(carrier):
            assert trace.get_current_span().get_span_context().span_id == int(theirs.span_id or "", 16)
    with llmtrace.span("of another trace"), llmtrace.extract(carrier):
        assert f"{trace.get_current_span().get_span_context().span_id:016x}" == request.span_id


def test_an_empty_carrier_changes_nothing(traces: Captured) -> None:
    with llmtrace.context(user_id="ann", tags="a"), llmtrace.span("request"):
        before = seen()
        for carrier in (None, {}, {"other": "x"}):
            with llmtrace.extract(carrier):
                assert seen() == before
        with llmtrace.extract({"llmtrace-context": '{"llmtrace.tags": ["b"], "user.id": "bob"}'}):
            assert seen() == (before[0], {"user.id": "bob", "llmtrace.tags": ("a", "b")}, None)


def test_in_this_process_a_function_keeps_its_context_for_good(traces: Captured) -> None:
    """Through a queue to a worker of the program's own, whoever it was started by, and to a thread."""
    work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    results: list[Any] = []

    def serve() -> None:
        while (function := work.get()) is not None:
            results.append(function())

    def note_after_worker() -> None:
        worker.join()
        results.append(seen())

    wanted = []
    with llmtrace.context(user_id="starter"), llmtrace.span("starting"):
        worker = threading.Thread(target=serve)
        worker.start()
        for user in "abc":
            with llmtrace.context(user_id=user), llmtrace.span(user):
                wanted.append(seen())
                work.put(llmtrace.propagate(seen))
        thread = threading.Thread(target=llmtrace.propagate(note_after_worker))
        wanted.append(seen())
    thread.start()
    work.put(None)
    thread.join(10)
    assert results == wanted


def test_coroutine_functions_and_what_a_function_is_called(traces: Captured) -> None:
    with llmtrace.context(user_id="ann"), llmtrace.span("request"):
        function, wanted = llmtrace.propagate(seen_later), seen()
    assert asyncio.run(function()) == asyncio.run(pickle.loads(pickle.dumps(function))()) == wanted
    assert function.__name__ == "seen_later"
    assert function.__wrapped__ is seen_later  # type: ignore[attr-defined]


def test_errors_pass_untouched(traces: Captured) -> None:
    def fail() -> None:
        raise LookupError("as ever")

    with llmtrace.context(user_id="ann"):
        function = llmtrace.propagate(fail)
    with pytest.raises(LookupError, match="as ever"):
        function()
    assert seen() == (None, {}, None)


def test_where_nothing_records_functions_run_all_the_same() -> None:
    llmtrace.disable()
    assert llmtrace.inject() == {}
    assert pickle.loads(pickle.dumps(llmtrace.propagate(seen)))() == (None, {}, None)
    assert llmtrace.propagate(seen_within)() == (None, {}, None)
