"""What the benchmark of ingest sends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from benchmarks import span_load
from benchmarks.prose import Prose
from benchmarks.span_load import RATE, SPANS_PER_REQUEST, Load, PartOfLoad, SpanLoad, Text
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .otlp import SECOND

_SPANS = 5 * SPANS_PER_REQUEST + 7


@pytest.fixture(autouse=True)
def _few_distinct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests are made, all others are these with other ids and times."""
    monkeypatch.setattr(span_load, "_DISTINCT", 2 * SPANS_PER_REQUEST)


def sent(load: Load, began: int) -> Iterator[Span]:
    for number in range(len(load)):
        request = ExportTraceServiceRequest.FromString(load.request(number, began))
        yield from request.resource_spans[0].scope_spans[0].spans


def value(span: Span, key: str) -> str:
    return next(item.value.string_value for item in span.attributes if item.key == key)


@pytest.mark.parametrize("text", ["words", "prompts"])
def test_every_span_is_its_own(text: Text) -> None:
    load = SpanLoad(_SPANS, 900, text)
    spans = list(sent(load, time.time_ns()))
    assert load.spans == len(spans) == _SPANS
    assert len({span.trace_id for span in spans}) == _SPANS
    assert len({span.span_id for span in spans}) == _SPANS
    assert len({value(span, "gen_ai.response.id") for span in spans}) == _SPANS
    assert {len(value(span, "gen_ai.response.id")) for span in spans} == {len("chatcmpl-") + 24}
    texts = {value(span, "gen_ai.input.messages") for span in spans}
    assert len(texts) == 2 * SPANS_PER_REQUEST + 7
    assert 0.9 < load.span_bytes / 900 < 1.1


def test_ends_follow_each_other_up_to_the_beginning() -> None:
    began = time.time_ns()
    spans = list(sent(SpanLoad(_SPANS, 700, "words"), began))
    ends = [span.end_time_unix_nano for span in spans]
    assert ends == sorted(ends)
    assert ends[0] == began - _SPANS * SECOND // RATE
    assert began - ends[-1] <= SECOND // RATE
    durations = [span.end_time_unix_nano - span.start_time_unix_nano for span in spans]
    assert min(durations) >= SECOND // 10
    assert max(durations) <= 10 * SECOND


def test_a_part_is_the_same_requests() -> None:
    load = SpanLoad(_SPANS, 700, "words")
    began = time.time_ns()
    part = PartOfLoad(load, 3, 3)
    assert part.spans == 2 * SPANS_PER_REQUEST + 7
    assert [part.request(n, began) for n in range(3)] == [load.request(n, began) for n in range(3, 6)]


def test_prose_neither_repeats_nor_is_longer_than_wanted() -> None:
    texts = [Prose(1).text(500), *map(Prose(2).text, [500] * 50)]
    assert len(set(texts)) == 51
    assert all(500 <= len(text) <= 540 for text in texts)
    assert Prose(1).text(500) == texts[0]
