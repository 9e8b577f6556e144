"""The span processor: writes the context's attributes on spans that start, hands ended spans to delivery."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes, other_tracers
from llmtrace.spans.finished_spans import is_local_root

from .queue import DeliveryWorker

_STARTING: Final = swallow("writing context attributes")
_QUEUEING: Final = swallow("queueing a span")


class Processor(SpanProcessor):
    """Attached once to a provider and kept for good (a provider cannot let go of one): it only does
    something while a delivery worker is set, so `shutdown` followed by `init` works.
    """

    def __init__(self, *, scopes: frozenset[str] | None = None) -> None:
        """`scopes`: the instrumentation scopes to deliver; None delivers every span of the provider."""
        self._scopes = scopes
        self.delivery_worker: DeliveryWorker | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        with _STARTING:
            if self.delivery_worker is not None:
                other_tracers.note_start(span, is_delivered=self._scopes is None)
            values = context_attributes.attributes(parent_context)
            if values and self.delivery_worker is not None:
                existing = span.attributes or {}
                span.set_attributes({key: value for key, value in values.items() if key not in existing})

    def on_end(self, span: ReadableSpan) -> None:
        delivery_worker = self.delivery_worker
        if delivery_worker is None:
            return
        with _QUEUEING:
            span_context = span.get_span_context()
            if span_context is None or not span_context.trace_flags.sampled:
                return
            if self._scopes is not None:
                scope = span.instrumentation_scope
                if scope is None or scope.name not in self._scopes:
                    if is_local_root(span):
                        delivery_worker.note_root(span_context.trace_id)
                    return
            delivery_worker.submit_span(span)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        delivery_worker = self.delivery_worker
        return True if delivery_worker is None else delivery_worker.flush(timeout_millis / 1e3)
