"""Scores: what a person, a test or a judge thinks of a span."""

from __future__ import annotations

import operator
from urllib.parse import urlencode

from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from llmtrace import clock, semconv
from llmtrace.delivery.exporter import LogRecord
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes, retries

from . import lifecycle
from .notebook import PageUrl


def score(
    name: str,
    value: float | None = None,
    label: str | None = None,
    explanation: str | None = None,
    *,
    trace_id: str | int | None = None,
    span_id: str | int | None = None,
    response_id: str | None = None,
) -> None:
    """Record a score; sent to the collector as a `gen_ai.evaluation.result` event. Never raises.

    What is scored: the span of `trace_id` and `span_id` (hexadecimal text or int) if given; else the LLM
    call that returned `response_id` (`completion.id`); else the active span; else, outside any span, the
    last LLM call made in this context, so that this just works:

        completion = client.chat.completions.create(...)
        llmtrace.score("helpful", 1.0)

    name: what was judged ("helpful"). value: a number, for averages. label: a word ("pass").
    explanation: why.
    """
    with swallow("recording a score"):
        runtime = lifecycle.current()
        if runtime is None:
            return
        attributes: dict[str, AttributeValue] = {semconv.EVALUATION_NAME: str(name)}
        if value is not None:
            attributes[semconv.EVALUATION_SCORE_VALUE] = float(value)
        if label is not None:
            attributes[semconv.EVALUATION_SCORE_LABEL] = str(label)
        if explanation is not None:
            attributes[semconv.EVALUATION_EXPLANATION] = str(explanation)
        if response_id is not None:
            attributes[semconv.RESPONSE_ID] = str(response_id)
        ids = _id_number("trace_id", trace_id, 32), _id_number("span_id", span_id, 16)
        if ids == (0, 0) and response_id is None:
            ids = _implied_ids()
        runtime.delivery_worker.submit_log(
            LogRecord(clock.time_ns(), semconv.EVALUATION_EVENT, *ids, attributes)
        )


def current_trace_id() -> str | None:
    """The active trace's id, else that of the last LLM call made in this context: 32 hex digits, or None."""
    with swallow("looking for the current trace"):
        trace_id, _ = _implied_ids()
        return f"{trace_id:032x}" if trace_id else None
    return None


def trace_url(trace_id: str | None = None) -> str | None:
    """The address of a trace in the dashboard, by default of the current one; None where there is none.

    A notebook shows it as a link.
    """
    with swallow("making a trace's address"):
        runtime = lifecycle.current()
        linked_id = trace_id or current_trace_id()
        if runtime is None or linked_id is None:
            return None
        return PageUrl(f"{runtime.config.dashboard_url}/traces?{urlencode({'trace': linked_id})}")
    return None


def _implied_ids() -> tuple[int, int]:
    active = trace.get_current_span(context_attributes.here()).get_span_context()
    if active.is_valid:
        return active.trace_id, active.span_id
    last = retries.last.get()
    return (last.context.trace_id, last.context.span_id) if last is not None else (0, 0)


def _id_number(argument: str, identifier: str | int | None, digits: int) -> int:
    """An id as a number, 0 for None. ValueError for what is no such id."""
    if identifier is None:
        return 0
    try:
        number = int(identifier, 16) if isinstance(identifier, str) else operator.index(identifier)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < 16**digits:
        raise ValueError(
            f"{argument} is {identifier!r}; use up to {digits} hexadecimal digits, or that number as an int"
        )
    return number
