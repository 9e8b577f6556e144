"""How much an OTLP request may hold, counted before anything is made of it.

Two bytes are an empty message, of which the parser makes two hundred: a large body is counted on its bytes
first, with a loop that stops at the bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor

from llmtrace.common.http_limits.refusal import Refusal

#: Of one request. An agent that gathers many services sends a resource for nearly every span of a batch.
MAX_RESOURCES, MAX_SCOPES, MAX_ROWS = 10_000, 20_000, 100_000

#: Attributes of one span, event, link, log record, data point or resource; events and links of a span.
MAX_ATTRIBUTES = 4096

#: Messages of any kind in one request, and those within attribute values that nest.
MAX_MESSAGES, MAX_NESTED = 1_500_000, 50_000

#: A row below has no more attributes than it may: each takes two bytes.
UNCROWDED_BYTES = 2 * MAX_ATTRIBUTES

#: From here on, what rows hold is counted as well where many short parts can be in it; below, the parser may
#: make a hundred bytes of each.
_DEEP_BYTES = 2 << 20

#: A message of up to eight bytes has a length below nine, and where more than one byte in 32 is below nine
#: there may be many.
_SHORT = bytes(byte < 9 for byte in range(256))
_RARE = 32

#: A message type: the tags of its fields that are messages, and their types.
Shape = Mapping[int, Any]

_ROWS = frozenset("Span LogRecord NumberDataPoint HistogramDataPoint ExponentialHistogramDataPoint".split())
_LEAVES = _ROWS | {"SummaryDataPoint", "Resource", "InstrumentationScope"}

_PARTS: Mapping[str, tuple[str, ...]] = {
    "Span": ("attributes", "events", "links"),
    "LogRecord": ("attributes",),
    "NumberDataPoint": ("attributes", "exemplars"),
    "HistogramDataPoint": ("attributes", "exemplars"),
    "ExponentialHistogramDataPoint": ("attributes", "exemplars"),
    "SummaryDataPoint": ("attributes",),
}

#: Wire type → bytes of a field of fixed size.
_FIXED = {1: 8, 5: 4}
_LENGTH_DELIMITED = 2


class Overfull(Refusal):
    """The request holds more than a request may: the sender should send it in parts."""

    def __init__(self, most: int, what: str) -> None:
        super().__init__(413, f"the request holds more than {most:,} {what}: send smaller batches")


class TooManyRows(Exception):
    """The request has more rows or resources than its caller wants to wait for."""


class BrokenWire(ValueError):
    """The bytes are no protobuf message."""


@dataclass(frozen=True)
class Shapes:
    """A request's messages: down to its rows, and all of them."""

    rows: Shape
    whole: Shape


def shapes_of(request: Descriptor) -> Shapes:
    """The shapes of a request type."""
    return Shapes(_shape(request, _LEAVES, {}), _shape(request, frozenset(), {}))


def check_size(body: bytes, shapes: Shapes, rows_at_most: int | None = None) -> int:
    """The bytes of the largest row (span, log record, data point) in `body`, or of another part that is not
    looked into. 0.2 µs for each part.

    Raises Overfull when the parser would make too much of it, BrokenWire when it is no message, and
    TooManyRows when it has more than `rows_at_most` resources, scopes and rows.
    """
    if rows_at_most is not None:
        return _count(body, shapes.rows, rows_at_most, TooManyRows())
    most = MAX_RESOURCES + MAX_SCOPES + 2 * MAX_ROWS
    largest = _count(body, shapes.rows, most, Overfull(most, "resources, scopes and rows"))
    if len(body) > _DEEP_BYTES and body.translate(_SHORT).count(1) > len(body) // _RARE:
        _count(body, shapes.whole, MAX_MESSAGES, Overfull(MAX_MESSAGES, "messages"))
    return largest


def is_crowded(row: Any) -> bool:
    """Whether a span, log record or data point has too many attributes, events, links or exemplars."""
    return any(len(getattr(row, name)) > MAX_ATTRIBUTES for name in _PARTS[row.DESCRIPTOR.name])


def _shape(descriptor: Descriptor, leaves: frozenset[str], known: dict[str, dict[int, Any]]) -> Shape:
    if descriptor.full_name in known:
        return known[descriptor.full_name]
    shape: dict[int, Any] = {}
    known[descriptor.full_name] = shape
    if descriptor.name not in leaves:
        for field in descriptor.fields:
            if field.message_type is not None:
                shape[field.number << 3 | _LENGTH_DELIMITED] = _shape(field.message_type, leaves, known)
    return shape


def _count(body: bytes, shape: Shape, most: int, beyond: Exception) -> int:
    """The size of the largest message of these shapes that has none inside. Raises `beyond` when there are
    more than `most`."""
    messages = largest = 0
    stack = [(0, len(body), shape)]
    try:
        while stack:
            at, end, shape = stack.pop()
            while at < end:
                tag = body[at]
                size = body[at + 1]
                if tag & 0x87 == _LENGTH_DELIMITED:  # one byte of tag, as nearly all have
                    at += 2
                    if size > 0x7F:
                        high = body[at]
                        if high < 0x80:  # two bytes of size, as nearly all have
                            size += (high << 7) - 0x80
                            at += 1
                        else:
                            size, at = _varint(body, at - 1)
                else:
                    tag, at = _varint(body, at)
                    kind = tag & 7
                    if kind == 0:
                        _, at = _varint(body, at)
                        continue
                    if kind != _LENGTH_DELIMITED:
                        at += _FIXED[kind]
                        continue
                    size, at = _varint(body, at)
                inner = shape.get(tag)
                if inner is not None:
                    messages += 1
                    if messages > most:
                        raise beyond
                    if not inner:
                        largest = max(largest, size)
                    elif size:
                        stack.append((at, at + size, inner))
                at += size
            if at > end:
                raise BrokenWire("a field ends beyond its message")
    except (IndexError, KeyError) as error:
        raise BrokenWire("a field is cut off or of an unknown kind") from error
    return largest


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise BrokenWire("a number is too long")
