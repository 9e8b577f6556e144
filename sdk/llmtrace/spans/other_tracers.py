"""Spans that other libraries make of the same calls: they are marked as not counted while they still can be.

Once a span has ended nothing can be added to it, and its library may send it to the collector by an exporter
of its own. So it is marked when our call begins within it: where it is the active span, or was begun in the
same context and is still open (some libraries never make their spans the active ones).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from llmtrace import semconv
from llmtrace.internal_errors import swallow

from . import generator_blocks, retries
from .finished_spans import SCOPE

_LLM_PREFIXES: Final = ("gen_ai.", "llm.", "openinference.", "traceloop.", "langfuse.observation.model")
#: What tracers of vector databases say of a query.
_QUERY_PREFIXES: Final = ("db.vector.query.", "pinecone.query.", "db.chroma.query.", "qdrant.")
#: Logfire reports a stream by a record at its end.
_LOGFIRE_RECORD: Final = ("logfire.span_type", "log")
#: Scopes of which any span is marked when a call begins within it: their spans get their attributes when
#: they end, after our call, and what is no call is not counted anyway.
_ATTRIBUTES_LATER: Final = (
    "langfuse-sdk",
    "openinference.instrumentation.",
    "opentelemetry.instrumentation.langchain",
    "opentelemetry.instrumentation.llamaindex",
)

_WATCHING: Final = swallow("looking at another library's span")


class _OpenSpan(NamedTuple):
    """A span of another library when it began: itself, which span was active then, whether we deliver it."""

    reference: weakref.ref[trace.Span]
    active: int
    is_delivered: bool


#: The newest of their spans that began in this context.
_open: ContextVar[_OpenSpan | None] = ContextVar("llmtrace-others-span", default=None)
_seen_any = False


def seen_any() -> bool:
    """Whether another library that traces LLM calls was ever seen; until then there is nothing to mark."""
    return _seen_any


def has_llm_attributes(attributes: Mapping[str, Any] | None) -> bool:
    """Whether a span has attributes of any of the conventions for LLM calls."""
    return any(key.startswith(_LLM_PREFIXES) for key in attributes or ())


def note_start(span: Span, *, is_delivered: bool = False) -> None:
    """A span began in this context, on a provider that we watch; `is_delivered` says that we deliver it."""
    global _seen_any
    attributes = span.attributes
    scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
    if scope == SCOPE or not (has_llm_attributes(attributes) or scope.startswith(_ATTRIBUTES_LATER)):
        return
    _seen_any = True
    if attributes and attributes.get(_LOGFIRE_RECORD[0]) == _LOGFIRE_RECORD[1]:
        last_call = retries.last.get()
        if last_call is not None and not last_call.recorded_elsewhere:
            last_call.recorded_elsewhere = True
            span.set_attribute(semconv.COUNTED, False)
    else:
        active = trace.get_current_span(generator_blocks.current()).get_span_context().span_id
        _open.set(_OpenSpan(weakref.ref(span), active, is_delivered))


def is_within() -> bool:
    """Whether the active span is another library's of an LLM call."""
    return _is_foreign_llm_span(trace.get_current_span(generator_blocks.current()))


def programs_parent(here: Context) -> SpanContext | None:
    """The span that a call which begins in the context `here` lies below, past another library's span about
    the same call."""
    active = trace.get_current_span(here)
    if _seen_any and (_is_foreign_llm_span(active) or _tells_later(active)):
        above: SpanContext | None = getattr(active, "parent", None)
        return above
    context = active.get_span_context()
    return context if context.is_valid else None


def enclosing(*, mark: bool) -> trace.Span | None:
    """A call of ours begins: what encloses it does not count (`mark`). The span that it lies below, where
    that is not the active one: some libraries never make their spans active, and without it our call would
    tear their tree.
    """
    noted = _open.get()
    open_span = None if noted is None else noted.reference()
    active = trace.get_current_span(generator_blocks.current())
    for span in (active, open_span) if mark else ():
        if span is not None and (_is_foreign_llm_span(span) or _tells_later(span)):
            span.set_attribute(semconv.COUNTED, False)
    if noted is None or open_span is None or not noted.is_delivered or not open_span.is_recording():
        return None
    # Who made another span the active one since knows better where it belongs.
    is_unmoved = active.get_span_context().span_id == noted.active
    return open_span if is_unmoved and open_span.get_span_context().trace_flags.sampled else None


def mark_query() -> None:
    """A search of ours begins: a tracer's span of the same query, where it is active, does not count."""
    active = trace.get_current_span(generator_blocks.current())
    if active.is_recording() and not _is_ours(active):
        attributes: Mapping[str, Any] = getattr(active, "attributes", None) or {}
        if any(key.startswith(_QUERY_PREFIXES) for key in attributes):
            active.set_attribute(semconv.COUNTED, False)


def _is_foreign_llm_span(span: trace.Span) -> bool:
    return (
        span.is_recording() and not _is_ours(span) and has_llm_attributes(getattr(span, "attributes", None))
    )


def _tells_later(span: trace.Span) -> bool:
    """Whether an open span may turn out to be one of an LLM call."""
    scope: InstrumentationScope | None = getattr(span, "instrumentation_scope", None)
    return span.is_recording() and scope is not None and scope.name.startswith(_ATTRIBUTES_LATER)


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
