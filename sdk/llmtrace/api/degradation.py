"""Answers that are less than what was asked for: what stood in for a model, and what circuit breakers did."""

from __future__ import annotations

from typing import Final

from opentelemetry import trace

from llmtrace import semconv
from llmtrace.internal_errors import swallow
from llmtrace.semconv import BreakerState, Degradation
from llmtrace.spans import context_attributes

from . import lifecycle

_DEGRADING: Final = swallow("recording a degraded answer")
_SWITCHING: Final = swallow("recording a circuit breaker's state")


def degraded(kind: Degradation, reason: object = "") -> None:
    """Record that something stood in for a model's answer. Never raises.

        try:
            answer = ask(question)
        except openai.APIError as error:
            llmtrace.degraded("preset", error)
            answer = "Please try again later."

    The active span is marked, and a step below it, `degraded <kind>`, is what the share of degraded answers
    is counted by.

    kind: "preset", a text that is always the same; "rule", what code worked out; "cached", an older answer to
        the same question; "last", the answer before.
    reason: why, in a word or a sentence; of an exception its type.
    """
    with _DEGRADING:
        reason = type(reason).__qualname__ if isinstance(reason, BaseException) else str(reason)
        attributes = {semconv.DEGRADED_KIND: str(kind)}
        if reason:
            attributes[semconv.DEGRADED_REASON] = reason
        _record("degraded", str(kind), attributes)


def circuit_breaker(name: str, state: BreakerState) -> None:
    """Record that a circuit breaker opened, is half open or closed. Never raises.

    Libraries' breakers say so themselves: `llmtrace.adapters.pybreaker`, `.purgatory`.

    name: which breaker, as "openai". state: "opened", "half_open" or "closed".
    """
    with _SWITCHING:
        attributes = {semconv.BREAKER_NAME: str(name), semconv.BREAKER_STATE: str(state)}
        _record("circuit_breaker", f"{name} {state}", attributes)


def _record(operation: str, what: str, attributes: dict[str, str]) -> None:
    """Mark the active span, and record a step below it that takes no time."""
    runtime = lifecycle.current()
    if runtime is None:
        return
    here = context_attributes.here()
    trace.get_current_span(here).set_attributes(attributes)
    step = {semconv.OPERATION_NAME: operation, **attributes}
    runtime.tracer.start_span(f"{operation} {what}", here, attributes=step).end()
