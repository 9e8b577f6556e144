"""`llmtrace.approval`: a person's decision before an act, as a step that lasts as long as the waiting."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, overload

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from llmtrace import clock, semconv
from llmtrace.internal_errors import swallow
from llmtrace.semconv import ApprovalDecision, ApprovalOutcome
from llmtrace.spans import context_attributes
from llmtrace.spans.capture_level import Capture, chosen

from . import lifecycle, span_shapes
from .approval_reference import ApprovalReference
from .decorator import P, R, observed
from .json_values import as_text
from .span import Span, SpanBlock

_ASKING: Final = swallow("recording that a person is asked")
_DECIDING: Final = swallow("recording a decision")

#: Words of people and libraries for each decision.
_WORDS: Final[Mapping[str, ApprovalDecision]] = {
    **dict.fromkeys(("approved", "approve", "accept", "accepted", "allow", "allowed", "yes"), "approved"),
    **dict.fromkeys(("edited", "edit", "changed", "modified"), "edited"),
    **dict.fromkeys(
        ("rejected", "reject", "deny", "denied", "decline", "declined", "ignore", "no"), "rejected"
    ),
}
#: How LangGraph leaves a node that waits for a person: it is run again when the answer is there.
_PAUSES: Final = frozenset({"GraphBubbleUp", "GraphInterrupt"})


class Approval(Span):
    """What `with llmtrace.approval(...)` gives: `decide` says what the person said. No method raises."""

    __slots__ = ("_asked_at", "_asked_at_tick", "_outcome")

    def __init__(self, shape: span_shapes.SpanShape) -> None:
        """Start it, and record at once that a person is asked."""
        self._asked_at = clock.time_ns()
        self._asked_at_tick = clock.perf_counter()
        self._outcome: ApprovalOutcome | None = None
        super().__init__(shape)
        with _ASKING:
            runtime = lifecycle.current()
            if runtime is not None and self._otel_span is not None:
                act = str(shape.attributes[semconv.TOOL_NAME])
                operation = semconv.APPROVAL_REQUEST_OPERATION
                asked = {semconv.OPERATION_NAME: operation, semconv.TOOL_NAME: act}
                within = self.applied(context_attributes.here())
                runtime.tracer.start_span(f"{operation} {act}", within, attributes=asked).end()

    @property
    def reference(self) -> str | None:
        """A text by which another process, or this one later, records the decision; None where nothing
        records. It holds the ids of trace and span, the time and the act's name, and no content.
        """
        with _ASKING:
            if self._otel_span is not None:
                act = str(self._shape.attributes[semconv.TOOL_NAME])
                return str(ApprovalReference(self._otel_span.get_span_context(), self._asked_at, act))
        return None

    def decide(
        self,
        decision: str | bool,
        *,
        person: object = None,
        reason: object = None,
        arguments: object = None,
        reference: str | None = None,
    ) -> None:
        """Record the decision; the last one counts.

        decision: "approved", "edited" (with other arguments) or "rejected", or another word for one of them,
            as "yes" and "deny"; True and False are the first and the last.
        person: who decided; recorded whether or not content is, like `user_id`.
        reason: in their words; arguments: what they changed them to. Both are content.
        reference: of an earlier approval that this one goes on with, as after LangGraph's `interrupt`: the
            waiting is counted from there, and the step has a link to it.
        """
        with _DECIDING:
            word = _decision(decision)
            if word is None:
                raise ValueError(f"the decision is {decision!r}; use {semconv.APPROVAL_DECISIONS}")
            self._outcome = word
            asked = ApprovalReference.read(reference) if reference is not None else None
            if asked is not None and self._otel_span is not None:
                self._otel_span.add_link(asked.span)
            waited = (clock.time_ns() - asked.asked_at) / 1e9 if asked is not None else self._waited()
            self.set_attributes({semconv.APPROVAL_WAIT: max(waited, 0.0)})
            self.set_attributes(_described(word, person, reason, arguments, self._level()))

    def set_output(self, value: Any) -> None:
        """Take the decision from what a decorated function returns; see `llmtrace.approval`."""
        with _DECIDING:
            read = value if isinstance(value, Mapping) else _Attributes(value)
            word = next(
                (
                    word
                    for candidate in (value, read.get("decision"), read.get("approved"), read.get("type"))
                    if (word := _decision(candidate)) is not None
                ),
                None,
            )
            if word is not None:
                self.decide(word, person=read.get("person"), reason=read.get("reason"))

    def end(self, error: BaseException | None = None) -> None:
        """End it, with the exception that left the block. The block does so by itself."""
        with _DECIDING:
            if self._outcome is None:
                if error is not None and _is_pause(error):
                    error = None
                elif error is not None:
                    self._outcome = "timeout" if isinstance(error, TimeoutError) else "undecided"
                self._outcome = self._outcome or "pending"
                attributes = {
                    semconv.APPROVAL_DECISION: self._outcome,
                    semconv.APPROVAL_WAIT: self._waited(),
                }
                self.set_attributes(attributes)
                if self._otel_span is not None and isinstance(error, GeneratorExit):
                    self._otel_span.set_status(Status(StatusCode.ERROR, "left before the decision"))
        super().end(error)

    def _waited(self) -> float:
        return clock.perf_counter() - self._asked_at_tick


class ApprovalBlock(SpanBlock):
    """An approval as a block, sync or async, or as a decorator."""

    def __init__(self, shape: span_shapes.SpanShape, *, arguments: object = None) -> None:
        super().__init__(shape)
        self._arguments = arguments

    def start(self) -> Span:
        started = Approval(self._shape)
        if self._arguments is not None:
            started.set_input(self._arguments)
        return started

    def __enter__(self) -> Approval:
        started = super().__enter__()
        assert isinstance(started, Approval)  # noqa: S101  # `start` made it
        return started

    async def __aenter__(self) -> Approval:
        return self.__enter__()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function that asks a person."""
        return observed(function, self._shape, ApprovalBlock)


@overload
def approval(act: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def approval(
    act: str,
    /,
    *,
    arguments: object = None,
    call_id: str | None = None,
    capture: Capture | None = None,
) -> ApprovalBlock: ...


def approval(
    act: Callable[P, R] | str,
    /,
    *,
    arguments: object = None,
    call_id: str | None = None,
    capture: Capture | None = None,
) -> Callable[P, R] | ApprovalBlock:
    """Record that a person decides before an act, as an `approval` step: waiting time, decision, person.

        with llmtrace.approval("delete_rows", arguments={"table": "orders"}) as asked:
            answer = ask_on_chat(...)
            asked.decide(answer.word, person=answer.user, reason=answer.text)

    Works with `with` and `async with`, and as a decorator of the function that asks:

        @llmtrace.approval
        def confirm(tool: str, arguments: dict) -> bool: ...

    which takes the decision from what the function returns: True or False, a word ("approved", "rejected",
    "edited"), or a mapping or object with `decision` or `approved`, `person` and `reason`.

    A block that is left without a decision is `pending` (it is to come: `llmtrace.approval_decision`), by
    TimeoutError `timeout`, by another exception `undecided`. That a person was asked is sent at once, as a
    step of its own below, so that it shows where the process ends before any answer.

    act: the tool's name, or what is to be done in a few words; default the decorated function's name.
    arguments: of the act; of a decorated function those of the call. Content.
    call_id: the model's id of the tool call.
    capture: how much content is recorded, in place of what `init` or a block says.
    """
    name = act if isinstance(act, str) else getattr(act, "__name__", "act")
    shape = span_shapes.approval(name, call_id, chosen(capture, f"llmtrace.approval({name!r})"))
    if callable(act):
        return observed(act, shape, ApprovalBlock)
    return ApprovalBlock(shape, arguments=arguments)


def approval_decision(
    reference: str | None,
    decision: str | bool,
    *,
    person: object = None,
    reason: object = None,
    arguments: object = None,
) -> None:
    """Record the decision on an approval that was left pending, in this process or another. Never raises.

    It becomes an `approval` step below the one that asked, in the same trace, from the question to now.

    reference: `reference` of the block that asked; None, where nothing was recorded, records nothing.
        The others: as for `decide` of a block.
    """
    with _DECIDING:
        runtime, word = lifecycle.current(), _decision(decision)
        if runtime is None or reference is None:
            return
        asked = ApprovalReference.read(reference)
        if word is None or asked is None:
            raise ValueError(
                f"the reference is {reference!r} and the decision {decision!r}; use the `reference` of a "
                f"block and one of {semconv.APPROVAL_DECISIONS}"
            )
        shape = span_shapes.approval(asked.act)
        started = runtime.tracer.start_span(
            shape.name,
            trace.set_span_in_context(trace.NonRecordingSpan(asked.span)),
            attributes=shape.attributes,
            start_time=asked.asked_at,
        )
        level = context_attributes.capture(runtime.config.capture)
        started.set_attributes(_described(word, person, reason, arguments, level))
        started.set_attribute(semconv.APPROVAL_WAIT, max((clock.time_ns() - asked.asked_at) / 1e9, 0.0))
        started.end()


class _Attributes:
    """An object's attributes by name, as a mapping's values."""

    def __init__(self, value: object) -> None:
        self._value = value

    def get(self, name: str) -> object:
        value = None if isinstance(self._value, str) else getattr(self._value, name, None)
        return None if callable(value) else value


def _described(
    word: ApprovalDecision, person: object, reason: object, arguments: object, level: Capture
) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {semconv.APPROVAL_DECISION: word}
    if person is not None:
        attributes[semconv.APPROVAL_PERSON] = str(person)
    if level != "none":
        if reason is not None:
            attributes[semconv.APPROVAL_REASON] = str(reason)
        if arguments is not None:
            attributes[semconv.APPROVAL_ARGUMENTS] = as_text(arguments)
    return attributes


def _decision(value: object) -> ApprovalDecision | None:
    """The decision that a value is a word for; None where it is none."""
    if isinstance(value, bool):
        return "approved" if value else "rejected"
    if isinstance(value, enum.Enum):
        value = value.value
    return _WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def _is_pause(error: BaseException) -> bool:
    return any(kind.__name__ in _PAUSES for kind in type(error).__mro__)
