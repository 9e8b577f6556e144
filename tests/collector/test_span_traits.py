"""Python and the engine say the same of a segment's spans, and every view gives the same rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.schema.decoding import protobuf_schema, what_spans_have
from llmtrace_collector.store.span_traits import SMALL, SpanTraits, traits_of
from llmtrace_collector.store.store import Store, open_store

from .otlp import attributes, llm, span, traces
from .prefilled import prefill
from .test_dialects import DIALECTS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{prefill(tmp_path_factory.mktemp('traits') / 'store')}")
    yield opened
    opened.close()


def of_scope(name: str, values: dict[str, object]) -> ExportTraceServiceRequest:
    request = traces([span(values)], {"service.name": "shop"})
    request.resource_spans[0].scope_spans[0].scope.name = name
    return request


def with_event() -> ExportTraceServiceRequest:
    sent = llm()
    sent.events.add(name="e", attributes=attributes({"input.value": "not the span's"}))
    return traces([llm(), sent])


def with_link() -> ExportTraceServiceRequest:
    sent = llm()
    sent.links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    return traces([sent])


SEGMENTS: dict[str, tuple[list[ExportTraceServiceRequest], SpanTraits]] = {
    "plain": ([traces([llm(), span({"own": 1})])], SpanTraits.PLAIN),
    "no spans": ([traces([])], SpanTraits.PLAIN),
    "an event": ([with_event()], SpanTraits.NESTED),
    "a link": ([with_link()], SpanTraits.NESTED),
    "a link, then another dialect": (
        [with_link(), of_scope("tests", {"llm.model_name": "m"})],
        SpanTraits.FOREIGN,
    ),
    "a foreign scope": ([of_scope("pydantic-ai", {})], SpanTraits.FOREIGN),
    **{
        name: ([of_scope(scope, values)], SpanTraits.FOREIGN)
        for name, (scope, values, _) in DIALECTS.items()
        if name != "OTel, current"
    },
}


def segment(path: Path, requests: list[ExportTraceServiceRequest]) -> Path:
    frames = (Frame("p", time.time_ns(), request.SerializeToString()) for request in requests)
    path.write_bytes(b"".join(b"".join(encode(frame)) for frame in frames))
    return path


@pytest.mark.parametrize("name", SEGMENTS)
def test_python_and_the_engine_say_the_same(store: Store, tmp_path: Path, name: str) -> None:
    requests, expected = SEGMENTS[name]
    path = segment(tmp_path / "a.seg", requests)
    assert traits_of(path) is expected
    examined = store.engine.examine(path, protobuf_schema(), "TracesEnvelope", what_spans_have())
    assert examined == expected


def test_what_is_large_or_broken_is_for_the_engine(tmp_path: Path) -> None:
    path = segment(tmp_path / "a.seg", [traces([llm()])])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert traits_of(path) is None
    path.write_bytes(whole + b"\xff")
    assert traits_of(path) is None
    path.write_bytes(whole * (SMALL // len(whole) + 1))
    assert traits_of(path) is None
    path.write_bytes(b"")
    assert traits_of(path) is SpanTraits.PLAIN


def test_rows_are_the_same_whichever_view_they_go_through(store: Store, tmp_path: Path) -> None:
    """A plain span alone, and the same one in a segment with an event, and in one with another dialect."""
    sent = llm({"own": "x", "gen_ai.input.messages": "[1]", "list": ["a", 1]})
    companions: list[list[ExportTraceServiceRequest]] = [
        [],
        [with_event()],
        [of_scope("tests", {"llm.model_name": "m"})],
    ]
    rows = []
    for number, others in enumerate(companions):
        sent.span_id = bytes([number + 1]) * 8
        path = segment(tmp_path / f"{number}.seg", [traces([sent]), *others])
        store.insert_segment("traces", path, path.stem)
        (row,) = store.rows(
            "SELECT * EXCEPT(SpanId, StoredAt, ReceivedAt) FROM otel_traces WHERE SpanId = {id:String}",
            {"id": sent.span_id.hex()},
        )
        rows.append(row)
    assert rows[0]["SpanAttributes"]["own"] == "x"
    assert rows[0] == rows[1] == rows[2]
