"""The spans that a benchmark of ingest sends: OTLP requests of unique spans, in bounded memory.

Requests are made once for some 32,000 spans and sent again with other ids and times, which are patched into
the serialised bytes: millions of spans cost neither memory nor time. A text comes back only after 64 MB,
which no block of the store spans. Times follow each other as those of live traffic do, `RATE` spans a second
up to the moment at which the load begins, however fast it is sent: so every checkout gets the same rows for
its rollups.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.collector.otlp import SECOND, any_value, realistic, traces

from .prose import INSTRUCTIONS, Prose

Text = Literal["prompts", "words"]

#: What OpenTelemetry's batch processor sends.
SPANS_PER_REQUEST = 512

#: Spans of each second of the spans' own time.
RATE = 2000

#: Spans that are made; more are these with other ids and times.
_DISTINCT = 32_768

_INSTRUCTIONS = "gen_ai.system_instructions"
_RESPONSE_ID = "gen_ai.response.id"

_Positions = NDArray[np.int64]


class Load(Protocol):
    """Requests to send, by number."""

    @property
    def spans(self) -> int:
        """How many spans there are in all."""

    def __len__(self) -> int: ...

    def request(self, number: int, began: int) -> bytes:
        """Request `number` (from 0) of a load that begins at `began` (Unix nanoseconds)."""


@dataclass(frozen=True)
class FixedLoad:
    """Requests that are sent as they are."""

    bodies: list[bytes]
    spans: int

    def __len__(self) -> int:
        return len(self.bodies)

    def request(self, number: int, began: int) -> bytes:
        """The same bytes, whenever."""
        return self.bodies[number]


@dataclass(frozen=True)
class PartOfLoad:
    """`count` whole requests of a load from request `first` on."""

    load: Load
    first: int
    count: int

    @property
    def spans(self) -> int:
        """How many spans they hold."""
        return min(self.load.spans - self.first * SPANS_PER_REQUEST, self.count * SPANS_PER_REQUEST)

    def __len__(self) -> int:
        return self.count

    def request(self, number: int, began: int) -> bytes:
        """Request `number` of the part."""
        return self.load.request(self.first + number, began)


@dataclass(frozen=True)
class _Template:
    """A serialised request, and where in it each span's ids and times stand (rows: spans, columns: bytes)."""

    body: NDArray[np.uint8]
    ids: _Positions
    marks: _Positions
    starts: _Positions
    ends: _Positions
    durations: NDArray[np.int64]

    def filled(self, repetition: int, first: int) -> bytes:
        """The request with its ids of a repetition, its spans' ends spread from `first` on (nanoseconds)."""
        body = self.body.copy()
        own = np.frombuffer(repetition.to_bytes(4, "big"), np.uint8)
        body[self.ids] ^= own
        body[self.marks] = np.frombuffer(f"{repetition:08x}".encode(), np.uint8)
        ends = first + np.arange(len(self.durations)) * (SECOND // RATE)
        body[self.ends] = ends.astype("<i8")[:, None].view(np.uint8)
        body[self.starts] = (ends - self.durations).astype("<i8")[:, None].view(np.uint8)
        return body.tobytes()


class SpanLoad:
    """`spans` LLM spans of about `span_bytes` each, the same for the same arguments but for their times."""

    def __init__(
        self,
        spans: int,
        span_bytes: int,
        text: Text,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.spans = spans
        make = _span_maker(span_bytes, text)
        counts = [SPANS_PER_REQUEST] * (spans // SPANS_PER_REQUEST)
        distinct = counts[: _DISTINCT // SPANS_PER_REQUEST]
        rest = spans % SPANS_PER_REQUEST
        source = random.Random(1)
        self._templates = []
        for number, count in enumerate(distinct):
            self._templates.append(_template(source, make, count))
            progress(number + 1, len(distinct))
        self._rest = _template(source, make, rest) if rest else None
        self._whole = len(counts)

    def __len__(self) -> int:
        return self._whole + (self._rest is not None)

    @property
    def span_bytes(self) -> int:
        """Mean size of a span on the wire."""
        templates = [*self._templates, *([] if self._rest is None else [self._rest])]
        size = sum(len(template.body) for template in templates)
        return round(size / sum(len(template.durations) for template in templates))

    def request(self, number: int, began: int) -> bytes:
        """Request `number` (from 0) of a load that begins at `began` (Unix nanoseconds)."""
        after = (self.spans - number * SPANS_PER_REQUEST) * SECOND // RATE
        if number == self._whole:
            assert self._rest is not None
            return self._rest.filled(0, began - after)
        repetition, position = divmod(number, len(self._templates))
        return self._templates[position].filled(repetition, began - after)


def _span_maker(span_bytes: int, text: Text) -> Callable[[random.Random, int], Span]:
    if text == "words":
        return lambda source, start: realistic(source, span_bytes, start)
    prose = Prose(1)

    def make(source: random.Random, start: int) -> Span:
        instructions = source.choice(INSTRUCTIONS)
        span = realistic(source, span_bytes - len(instructions) - 60, start, prose.text)
        parts = f'[{{"type": "text", "content": "{instructions}"}}]'
        span.attributes.add(key=_INSTRUCTIONS, value=any_value(parts))
        return span

    return make


def _template(source: random.Random, make: Callable[[random.Random, int], Span], count: int) -> _Template:
    now = time.time_ns()
    spans = [make(source, now + source.randrange(SECOND)) for _ in range(count)]
    resource = {"service.name": f"service-{source.randrange(4)}"}
    body = traces(spans, resource).SerializeToString()
    ids, marks, starts, ends = [], [], [], []
    at = 0
    for span in spans:
        # The fields of a span are written in the order of their numbers: what comes first is its trace id.
        at = body.index(span.trace_id, at)
        ids += [at, body.index(span.span_id, at)]
        starts.append(body.index(span.start_time_unix_nano.to_bytes(8, "little"), at))
        ends.append(body.index(span.end_time_unix_nano.to_bytes(8, "little"), starts[-1] + 8))
        marks.append(body.index(_response_id(span).encode(), at) + len("chatcmpl-"))
    return _Template(
        np.frombuffer(body, np.uint8),
        _runs(ids, 4),
        _runs(marks, 8),
        _runs(starts, 8),
        _runs(ends, 8),
        np.array([span.end_time_unix_nano - span.start_time_unix_nano for span in spans]),
    )


def _response_id(span: Span) -> str:
    return next(item.value.string_value for item in span.attributes if item.key == _RESPONSE_ID)


def _runs(starts: list[int], length: int) -> _Positions:
    """For each start the positions of the `length` bytes from there on."""
    return np.array(starts)[:, None] + np.arange(length)
