"""Which traces are sent: a share by chance, and every one with an error or a slow call.

A trace is held back until its root span in this process has ended, and then kept or left out whole. What is
kept by chance carries its weight (1/rate), what is kept for its own sake weighs 1, so that sums of weights
are unbiased estimates of all calls, tokens and costs. The chance is the trace id's, so all processes of a
trace that use the same rate decide alike.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from llmtrace import semconv

from . import finished_spans

_ID_BITS: Final = 2**56
_HELD_SECONDS: Final = 60.0
_HELD_SPANS: Final = 20_000
_REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True)
class SampleRule:
    """A rate for the traces in which some span matches: its name, and all of `attributes`.

    `name` and the values are patterns with `*` and `?`; values are compared as text.

        SampleRule(rate=1.0, attributes={"user.id": "vip-*"})
        SampleRule(rate=0.01, name="chat *-mini")
    """

    rate: float
    name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"the rate of a SampleRule is {self.rate!r}; use a number from 0 to 1")

    def matches(self, span: ReadableSpan) -> bool:
        """Whether this span puts its trace under the rule."""
        if self.name is not None and not fnmatchcase(span.name, self.name):
            return False
        attributes = span.attributes or {}
        return all(
            key in attributes and fnmatchcase(str(attributes[key]), pattern)
            for key, pattern in self.attributes.items()
        )


@dataclass(slots=True)
class _Held:
    since: float
    spans: list[ReadableSpan] = field(default_factory=list)
    over: bool = False


class TailSampler:
    """Holds spans by trace. Used by one thread at a time."""

    def __init__(self, rate: float, rules: Sequence[SampleRule], slower_than: float) -> None:
        """slower_than: seconds from which a span is kept for its own sake."""
        self._rate = rate
        self._rules = tuple(rules)
        self._slower_than = slower_than
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._count = 0
        self._decided: OrderedDict[int, float] = OrderedDict()

    @property
    def held(self) -> int:
        """How many spans it holds."""
        return sum(len(held.spans) for held in self._held.values())

    def hold(self, arrived: Iterable[ReadableSpan], roots_elsewhere: Iterable[int] = ()) -> None:
        """Take finished spans; `roots_elsewhere` are trace ids whose root ended but is not delivered."""
        now = time.monotonic()
        for span in arrived:
            span_context = span.get_span_context()
            trace_id = 0 if span_context is None else span_context.trace_id
            held = self._held.get(trace_id)
            if held is None:
                held = self._held[trace_id] = _Held(now)
            held.spans.append(span)
            held.over = held.over or finished_spans.is_local_root(span)
            self._count += 1
        for trace_id in roots_elsewhere:
            if trace_id in self._held:
                self._held[trace_id].over = True

    def decide(self, *, everything: bool = False) -> tuple[list[ReadableSpan], int]:
        """(spans to send, number left out) of the traces that are over, have waited long, or are too many.

        Spans of a trace that was decided earlier follow that decision, errors and slow ones aside.
        """
        now = time.monotonic()
        sampled: list[ReadableSpan] = []
        left_out = 0
        for trace_id, held in list(self._held.items()):
            late = trace_id in self._decided
            old = now - held.since > _HELD_SECONDS or self._count > _HELD_SPANS
            if not (everything or held.over or late or old):
                continue
            del self._held[trace_id]
            self._count -= len(held.spans)
            weight = self._weight(trace_id, held.spans)
            if late and not (weight == 1.0 and self._decided[trace_id] != 1.0):
                weight = self._decided[trace_id]
            self._remember(trace_id, weight)
            if weight:
                sampled += [_weighed(span, weight) for span in held.spans]
            else:
                left_out += len(held.spans)
        return sampled, left_out

    def _weight(self, trace_id: int, held: Sequence[ReadableSpan]) -> float:
        if any(
            span.status.status_code is StatusCode.ERROR or finished_spans.duration(span) >= self._slower_than
            for span in held
        ):
            return 1.0
        rate = next(
            (rule.rate for rule in self._rules if any(rule.matches(span) for span in held)), self._rate
        )
        return 1.0 / rate if trace_id % _ID_BITS < rate * _ID_BITS else 0.0

    def _remember(self, trace_id: int, weight: float) -> None:
        self._decided[trace_id] = weight
        if len(self._decided) > _REMEMBERED:
            self._decided.popitem(last=False)


def _weighed(span: ReadableSpan, weight: float) -> ReadableSpan:
    if weight == 1.0:
        return span
    attributes = {**(span.attributes or {}), semconv.SAMPLE_WEIGHT: weight}
    return finished_spans.copied(
        span, attributes=attributes, events=span.events, description=span.status.description
    )
