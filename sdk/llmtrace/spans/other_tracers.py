"""Spans that other libraries make of the same calls: they are marked as not counted while they still can be.

Once a span has ended nothing can be added to it, and its library may send it to the collector by an exporter
of its own. So it is marked when our call begins within it: where it is the active span, or was begun in the
same context and is still open (some libraries never make their spans the active ones).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace import semconv
from llmtrace.internal_errors import swallow

from . import retries
from .finished_spans import SCOPE

_LLM_PREFIXES: Final = ("gen_ai.", "llm.", "openinference.", "traceloop.", "langfuse.observation.model")
#: Logfire reports a stream by a record at its end.
_LOGFIRE_RECORD: Final = ("logfire.span_type", "log")
#: Their spans get their attributes after they began.
_ATTRIBUTES_LATER: Final = frozenset({"langfuse-sdk"})

_WATCHING: Final = swallow("looking at another library's span")

_open: ContextVar[weakref.ref[trace.Span] | None] = ContextVar("llmtrace-others-span", default=None)
_seen_any = False


def seen_any() -> bool:
    """Whether another library that traces LLM calls was ever seen; until then there is nothing to mark."""
    return _seen_any


def has_llm_attributes(attributes: Mapping[str, Any] | None) -> bool:
    """Whether a span has attributes of any of the conventions for LLM calls."""
    return any(key.startswith(_LLM_PREFIXES) for key in attributes or ())


def note_start(span: Span) -> None:
    """A span began in this context, on a provider that we watch."""
    global _seen_any
    attributes = span.attributes
    scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
    if scope == SCOPE or not (has_llm_attributes(attributes) or scope in _ATTRIBUTES_LATER):
        return
    _seen_any = True
    if attributes and attributes.get(_LOGFIRE_RECORD[0]) == _LOGFIRE_RECORD[1]:
        last_call = retries.last.get()
        if last_call is not None and not last_call.recorded_elsewhere:
            last_call.recorded_elsewhere = True
            span.set_attribute(semconv.COUNTED, False)
    else:
        _open.set(weakref.ref(span))


def is_within() -> bool:
    """Whether the active span is another library's of an LLM call."""
    return _is_foreign_llm_span(trace.get_current_span())


def mark_enclosing() -> None:
    """A call of ours begins: what encloses it does not count."""
    open_span = _open.get()
    for span in (trace.get_current_span(), None if open_span is None else open_span()):
        if span is not None and _is_foreign_llm_span(span):
            span.set_attribute(semconv.COUNTED, False)


def _is_foreign_llm_span(span: trace.Span) -> bool:
    return (
        span.is_recording() and not _is_ours(span) and has_llm_attributes(getattr(span, "attributes", None))
    )


def _is_ours(span: trace.Span) -> bool:
    scope: InstrumentationScope | None = getattr(span, "instrumentation_scope", None)
    return scope is not None and scope.name == SCOPE


class ForeignSpanWatcher(SpanProcessor):
    """Attached to a provider that is not the OTel SDK's own (Logfire's), where our spans do not go."""

    def __init__(self, is_running: Callable[[], bool]) -> None:
        self._is_running = is_running

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        with _WATCHING:
            if self._is_running():
                note_start(span)
