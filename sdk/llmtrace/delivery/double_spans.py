"""Which span had which response id, so that scores, and spans of other libraries, find it.

Used on the delivery thread only: calls are translated there before the scores that follow them are sent.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from llmtrace import semconv
from llmtrace.spans import other_tracers

from .exporter import LogRecord

_CAPACITY: Final = 4096
_span_of_response: OrderedDict[str, tuple[int, int]] = OrderedDict()
_parents: OrderedDict[tuple[int, int], None] = OrderedDict()
_response_of_span: OrderedDict[tuple[int, int], str] = OrderedDict()


def remember(response_id: str, trace_id: int, span_id: int) -> None:
    """Note a translated call."""
    _span_of_response[response_id] = (trace_id, span_id)
    _response_of_span[trace_id, span_id] = response_id
    if len(_span_of_response) > _CAPACITY:
        _span_of_response.popitem(last=False)
    if len(_response_of_span) > _CAPACITY:
        _response_of_span.popitem(last=False)


def remember_parent(parent: SpanContext) -> None:
    """Note a span that one of our calls was made directly under."""
    _parents[parent.trace_id, parent.span_id] = None
    if len(_parents) > _CAPACITY:
        _parents.popitem(last=False)


def is_double(span: ReadableSpan) -> bool:
    """Whether a span of another library describes a call that we have a span for.

    By the response id, or because our call was made directly under it.
    """
    attributes = span.attributes or {}
    span_context = span.get_span_context()
    if span_context is None or not other_tracers.has_llm_attributes(attributes):
        return False
    response_id = attributes.get(semconv.RESPONSE_ID)
    return (isinstance(response_id, str) and response_id in _span_of_response) or (
        (span_context.trace_id, span_context.span_id) in _parents
    )


def resolved(record: LogRecord) -> LogRecord:
    """The record with the span of its response id, or the response id of its span, filled in."""
    response_id = record.attributes.get(semconv.RESPONSE_ID)
    if isinstance(response_id, str):
        if record.trace_id:
            return record
        trace_id, span_id = _span_of_response.get(response_id, (0, 0))
        return replace(record, trace_id=trace_id, span_id=span_id)
    remembered_id = _response_of_span.get((record.trace_id, record.span_id))
    if remembered_id is None:
        return record
    return replace(record, attributes={**record.attributes, semconv.RESPONSE_ID: remembered_id})
