"""What the spans of a segment have, which decides through which views they go.

The engine can be asked, but takes four milliseconds before it begins: of small segments Python finds out by
itself. Both go by the table of attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from llmtrace_collector.attributes.dialects import FOREIGN_KEYS, FOREIGN_SCOPES

#: Bytes of a segment up to which Python is quicker than the engine.
SMALL = 128 * 1024

_FOREIGN_KEYS = frozenset(FOREIGN_KEYS)

#: The tag of an envelope's request in otlp.proto: field 3, with a length.
_REQUEST = 0x1A
_FIXED_64, _WITH_LENGTH, _FIXED_32 = 1, 2, 5


class SpanTraits(IntEnum):
    """What some span of a segment has; the greater needs all that the less need."""

    #: Today's conventions, no events and no links.
    PLAIN = 0
    #: Events or links.
    NESTED = 1
    #: Another dialect.
    FOREIGN = 2


def traits_of(path: Path) -> SpanTraits | None:
    """What the spans of a small segment have; None of a large one, and of one that does not decode."""
    if path.stat().st_size > SMALL:
        return None
    traits = SpanTraits.PLAIN
    try:
        for body in _requests(path.read_bytes()):
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    traits = max(traits, _traits_of_scope(scope))
                    if traits is SpanTraits.FOREIGN:
                        return traits
    except (DecodeError, IndexError):
        return None
    return traits


def _traits_of_scope(scope: ScopeSpans) -> SpanTraits:
    if scope.scope.name in FOREIGN_SCOPES:
        return SpanTraits.FOREIGN if scope.spans else SpanTraits.PLAIN
    traits = SpanTraits.PLAIN
    for span in scope.spans:
        if any(attribute.key in _FOREIGN_KEYS for attribute in span.attributes):
            return SpanTraits.FOREIGN
        if span.events or span.links:
            traits = SpanTraits.NESTED
    return traits


def _requests(data: bytes) -> Iterator[bytes]:
    """The requests in a segment's envelopes, of which each has its length before it. Raises IndexError."""
    place = 0
    while place < len(data):
        size, place = _varint(data, place)
        end = place + size
        while place < end:
            tag, place = _varint(data, place)
            kind = tag & 7
            if kind == _WITH_LENGTH:
                size, place = _varint(data, place)
                if tag == _REQUEST:
                    yield data[place : place + size]
                place += size
            elif kind in (_FIXED_64, _FIXED_32):
                place += 8 if kind == _FIXED_64 else 4
            else:
                _, place = _varint(data, place)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, and where the next begins. Raises IndexError at the end of `data`."""
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
