"""Different calls that are alike, made of what real tracers sent: nothing of them may be merged.

A scene is a copy of real spans under new ids, moved in time, so that two calls have the same model, figures
and texts. Which call each span tells of is known.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

#: What of a tracer's attributes says what came back.
_OF_ANSWERS = (
    "gen_ai.output",
    "gen_ai.completion",
    "gen_ai.usage",
    "gen_ai.response",
    "output.",
    "llm.output",
    "llm.token_count",
)

MS = 1_000_000
SECOND = 1000 * MS


@dataclass(frozen=True)
class Telling:
    """What one tracer said of a call: the span, and its resource and scope."""

    span: Span
    around: ResourceSpans


@dataclass(frozen=True)
class Scene:
    """Spans of calls that are alike; `truth` is span id → call."""

    name: str
    request: ExportTraceServiceRequest
    truth: dict[str, int]
    calls: int


class SceneMaker:
    """Makes scenes of pairs of tellings: of each call what two tracers said, the outer one first."""

    def __init__(self, pairs: Sequence[tuple[Telling, Telling]], seed: int = 1) -> None:
        self._pairs = pairs
        self._random = random.Random(seed)
        self._at = self._taken = 0

    def scenes(self, of_a_kind: int) -> Iterator[Scene]:
        """So many of every kind."""
        kinds: dict[str, Callable[[Telling, Telling], list[tuple[int, Telling]]]] = {
            "five at once, by one tracer": self._sampled_once,
            "five at once, by two tracers": self._sampled_twice,
            "three tries, two of which fail": self._retried,
            "a call of each tracer, one begins in the other": self._staggered,
            "a call of each tracer within the other's time, other answers": self._other_answer,
            "a call of each tracer within the other's time, two processes": self._other_process,
        }
        for name, make in kinds.items():
            for _ in range(of_a_kind):
                outer, inner = self._next(needs_answers="answers" in name)
                spans = make(outer, inner)
                request = ExportTraceServiceRequest()
                truth = {}
                for call, telling in spans:
                    request.resource_spans.append(telling.around)
                    truth[telling.span.span_id.hex()] = call
                yield Scene(name, request, truth, len(set(truth.values())))

    def _next(self, *, needs_answers: bool) -> tuple[Telling, Telling]:
        """The next pair of tellings; one whose answers are texts, where they are to be changed."""
        while True:
            self._taken += 1
            pair = self._pairs[self._taken % len(self._pairs)]
            if not needs_answers or all(_has_answer(telling.span) for telling in pair):
                return pair

    def _copy(
        self,
        telling: Telling,
        start: int,
        duration: int,
        *,
        failed: bool = False,
        answer: str = "",
        instance: str = "",
    ) -> Telling:
        """The same said of another time, in a trace of its own."""
        around = ResourceSpans()
        around.resource.CopyFrom(telling.around.resource)
        of_scope = around.scope_spans.add()
        of_scope.scope.CopyFrom(telling.around.scope_spans[0].scope)
        span = of_scope.spans.add()
        span.CopyFrom(telling.span)
        span.trace_id, span.span_id = self._random.randbytes(16), self._random.randbytes(8)
        span.parent_span_id = b""
        del span.events[:]
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + duration
        if failed:
            span.status.code = Status.STATUS_CODE_ERROR
            remaining = [item for item in span.attributes if not _is_of_answer(item.key)]
            del span.attributes[:]
            span.attributes.extend(remaining)
        for item in span.attributes:
            if answer and _is_of_answer(item.key) and item.value.HasField("string_value"):
                item.value.string_value = item.value.string_value.replace(". ", f" {answer}. ").replace(
                    '"content":', f'"content": "{answer}", "was":'
                )
                if item.key.endswith("message.content"):
                    item.value.string_value += f" {answer}"
        for item in around.resource.attributes:
            if instance and item.key == "service.instance.id":
                item.value.string_value = instance
        return Telling(span, around)

    def _begin(self, telling: Telling) -> tuple[int, int]:
        """A time that no other scene has, and how long the call takes."""
        self._at += 1
        return telling.span.start_time_unix_nano - self._at * 10 * SECOND, self._random.randrange(
            300 * MS, 3 * SECOND
        )

    def _sampled_once(self, outer: Telling, inner: Telling) -> list[tuple[int, Telling]]:
        start, duration = self._begin(outer)
        return [
            (call, self._copy(outer, start + call * MS, duration + self._random.randrange(20 * MS)))
            for call in range(5)
        ]

    def _sampled_twice(self, outer: Telling, inner: Telling) -> list[tuple[int, Telling]]:
        start, duration = self._begin(outer)
        spans = []
        for call in range(5):
            begin = start + self._random.randrange(5 * MS)
            lasts = duration + self._random.randrange(SECOND)
            spans += [
                (call, self._copy(outer, begin, lasts)),
                (call, self._copy(inner, begin + self._random.randrange(2 * MS), lasts - 3 * MS)),
            ]
        return spans

    def _retried(self, outer: Telling, inner: Telling) -> list[tuple[int, Telling]]:
        start, duration = self._begin(outer)
        spans = []
        for call in range(3):
            failed = call < 2
            spans += [
                (call, self._copy(outer, start, duration, failed=failed)),
                (call, self._copy(inner, start + MS, duration - 2 * MS, failed=failed)),
            ]
            start += duration + self._random.randrange(2 * MS)
        return spans

    def _staggered(self, outer: Telling, inner: Telling) -> list[tuple[int, Telling]]:
        start, duration = self._begin(outer)
        later = start + int(duration * self._random.uniform(0.15, 0.9))
        return [(0, self._copy(outer, start, duration)), (1, self._copy(inner, later, duration))]

    def _other_answer(self, outer: Telling, inner: Telling) -> list[tuple[int, Telling]]:
        start, duration = self._begin(outer)
        return [
            (0, self._copy(outer, start, duration)),
            (1, self._copy(inner, start + 5 * MS, duration - 10 * MS, answer="otherwise")),
        ]

    def _other_process(self, outer: Telling, inner: Telling) -> list[tuple[int, Telling]]:
        start, duration = self._begin(outer)
        return [
            (0, self._copy(outer, start, duration)),
            (1, self._copy(inner, start + 5 * MS, duration - 10 * MS, instance="other")),
        ]


def _is_of_answer(key: str) -> bool:
    return key.startswith(_OF_ANSWERS)


def _has_answer(span: Span) -> bool:
    texts = [
        item.value.string_value
        for item in span.attributes
        if item.key == "gen_ai.output.messages"
        or re.fullmatch(r"llm\.output_messages\.0\..*content", item.key)
    ]
    return any(re.search(r'"content": ?"[^"]', text) or (text and "{" not in text) for text in texts)
