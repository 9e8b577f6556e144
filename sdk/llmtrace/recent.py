"""Which span had which response id, so that a score naming one finds the other.

Used on the delivery thread only: calls are translated there before the scores that follow them are sent.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from . import semconv
from .delivery.outlet import ScoreRecord

_KEPT: Final = 4096
_span_of_response: OrderedDict[str, tuple[int, int]] = OrderedDict()
_response_of_span: OrderedDict[tuple[int, int], str] = OrderedDict()


def remember(response_id: str, trace_id: int, span_id: int) -> None:
    """Note a translated call."""
    _span_of_response[response_id] = (trace_id, span_id)
    _response_of_span[trace_id, span_id] = response_id
    if len(_span_of_response) > _KEPT:
        _span_of_response.popitem(last=False)
    if len(_response_of_span) > _KEPT:
        _response_of_span.popitem(last=False)


def resolved(record: ScoreRecord) -> ScoreRecord:
    """The record with the span of its response id, or the response id of its span, filled in."""
    given = record.attributes.get(semconv.RESPONSE_ID)
    if isinstance(given, str):
        if record.trace_id:
            return record
        trace_id, span_id = _span_of_response.get(given, (0, 0))
        return replace(record, trace_id=trace_id, span_id=span_id)
    known = _response_of_span.get((record.trace_id, record.span_id))
    if known is None:
        return record
    return replace(record, attributes={**record.attributes, semconv.RESPONSE_ID: known})
