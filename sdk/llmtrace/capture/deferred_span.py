"""The span of a request of which only the answer says whether it is a call: nothing until it is begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, Status
from opentelemetry.util.types import AttributeValue

from .llm_span import LlmSpan


class DeferredSpan:
    """See `LlmSpan`. Until it is begun it has no ids and costs no more than this object."""

    __slots__ = ("_begin", "_span", "context", "parent", "recording")

    def __init__(self, begin: Callable[[], LlmSpan]) -> None:
        """begin: begins the span, with the time at which the request was sent; called on any thread."""
        self._begin = begin
        self._span: LlmSpan | None = None
        self.context = INVALID_SPAN_CONTEXT
        self.parent: SpanContext | None = None
        self.recording = True

    def begin(self) -> bool:
        """Begin it, once; whether it records."""
        if self._span is None:
            self._span = span = self._begin()
            self.context, self.parent, self.recording = span.context, span.parent, span.recording
        return self.recording

    @property
    def initial_attributes(self) -> Mapping[str, AttributeValue]:
        return {} if self._span is None else self._span.initial_attributes

    def finish(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue],
        status: Status,
        end: int,
        *,
        retry_of: SpanContext | None = None,
    ) -> Sequence[ReadableSpan]:
        return () if self._span is None else self._span.finish(name, attributes, status, end)

    def finish_inner(
        self, name: str, attributes: Mapping[str, AttributeValue], end: int
    ) -> Sequence[ReadableSpan]:
        return ()
