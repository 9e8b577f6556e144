"""The span of an LLM call, begun on the caller's path and made afterwards.

An LLM call has no child in this process, so while it runs only its ids are needed. On our own provider the
span is therefore built in one piece at the end (`_BuiltAtEnd`), for a third of a recording span's CPU. Where
others watch (an application's provider, further span processors, attribute limits) it is an ordinary
recording span (`_Recording`), which they see start and end like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.spans import context_attributes

from .runtime import Runtime

_DEFAULT: Final = str(DEFAULT_ON.get_description())  # type: ignore[no-untyped-call]
_FLAGS: Final = {
    (sampled, random): TraceFlags(TraceFlags.SAMPLED * sampled | TraceFlags.RANDOM_TRACE_ID * random)
    for sampled in (False, True)
    for random in (False, True)
}
_REPEATS: Final = {semconv.LINK: "repeats"}


class LlmSpan(Protocol):
    """A begun span: `initial_attributes` are those it has from its context."""

    context: SpanContext
    recording: bool
    parent: SpanContext | None

    @property
    def initial_attributes(self) -> Mapping[str, AttributeValue]: ...

    def finish(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue],
        status: Status,
        end: int,
        *,
        retry_of: SpanContext | None = None,
    ) -> Sequence[ReadableSpan]:
        """End it at `end` (nanoseconds since 1970), and return it where no provider hands it on.

        Called once, on any thread. retry_of: the earlier request of the same call, to link to.
        """

    def finish_inner(
        self, name: str, attributes: Mapping[str, AttributeValue], end: int
    ) -> Sequence[ReadableSpan]:
        """A span below this one, over the same time, ended; returned where no provider hands it on.

        Called before `finish`.
        """


class _OwnTracer(Tracer):
    """Starts spans where they are started for the program: see `context_attributes.here`."""

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> trace.Span:
        if context is None:
            context = context_attributes.here()
        return super().start_span(name, context, *args, **kwargs)


class OwnProvider(TracerProvider):
    """A provider that knows whether somebody else listens."""

    shared = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.by_default = self.sampler.get_description() == _DEFAULT
        """Everything is sampled but what a parent says is not."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        tracer = super().get_tracer(*args, **kwargs)
        if type(tracer) is Tracer:
            tracer.__class__ = _OwnTracer
        return tracer

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        super().add_span_processor(span_processor)
        self.shared = True


def begin(runtime: Runtime, name: str, start: int, here: Context) -> LlmSpan:
    """Begin a CLIENT span in the context `here`, started at `start` (nanoseconds since 1970)."""
    provider = runtime.provider
    if isinstance(provider, OwnProvider) and not provider.shared and not runtime.config.attribute_limits:
        return _BuiltAtEnd(runtime, provider, name, start, here)
    span = runtime.tracer.start_span(name, here, kind=SpanKind.CLIENT, start_time=start)
    return _Recording(runtime, span, start)


class _BuiltAtEnd:
    __slots__ = ("_provider", "_runtime", "_start", "context", "initial_attributes", "parent", "recording")

    def __init__(self, runtime: Runtime, provider: OwnProvider, name: str, start: int, here: Context) -> None:
        parent = trace.get_current_span(here).get_span_context()
        id_generator = provider.id_generator
        if parent.is_valid:
            self.parent: SpanContext | None = parent
            trace_id, random = parent.trace_id, parent.trace_flags.random_trace_id
        else:
            self.parent = None
            trace_id, random = id_generator.generate_trace_id(), id_generator.is_trace_id_random()
        if provider.by_default:
            self.recording = self.parent is None or parent.trace_flags.sampled
            trace_state = parent.trace_state
        else:
            sampling = provider.sampler.should_sample(None, trace_id, name, SpanKind.CLIENT, None, ())
            self.recording = sampling.decision is Decision.RECORD_AND_SAMPLE
            trace_state = sampling.trace_state or parent.trace_state
        self.context = SpanContext(
            trace_id,
            id_generator.generate_span_id(),
            False,
            _FLAGS[self.recording, random],
            trace_state,
        )
        self.initial_attributes = context_attributes.attributes(here)
        self._runtime = runtime
        self._provider = provider
        self._start = start

    def finish(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue],
        status: Status,
        end: int,
        *,
        retry_of: SpanContext | None = None,
    ) -> Sequence[ReadableSpan]:
        links = () if retry_of is None else (Link(retry_of, _REPEATS),)
        return (self._ended(name, self.context, self.parent, attributes, end, status, links),)

    def finish_inner(
        self, name: str, attributes: Mapping[str, AttributeValue], end: int
    ) -> Sequence[ReadableSpan]:
        context = SpanContext(
            self.context.trace_id,
            self._provider.id_generator.generate_span_id(),
            False,
            self.context.trace_flags,
            self.context.trace_state,
        )
        return (self._ended(name, context, self.context, attributes, end, Status(StatusCode.UNSET)),)

    def _ended(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Mapping[str, AttributeValue],
        end: int,
        status: Status,
        links: Sequence[Link] = (),
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context,
            parent,
            self._provider.resource,
            {**self.initial_attributes, **attributes},
            links=links,
            kind=SpanKind.CLIENT,
            status=status,
            start_time=self._start,
            end_time=end,
            instrumentation_scope=self._runtime.scope,
        )


class _Recording:
    __slots__ = ("_runtime", "_span", "_start", "context", "parent", "recording")

    def __init__(self, runtime: Runtime, span: Span, start: int) -> None:
        self._runtime = runtime
        self._start = start
        self._span = span
        self.context = span.get_span_context()
        self.recording = span.is_recording()
        self.parent: SpanContext | None = getattr(span, "parent", None)

    @property
    def initial_attributes(self) -> Mapping[str, AttributeValue]:
        return getattr(self._span, "attributes", None) or {}

    def finish(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue],
        status: Status,
        end: int,
        *,
        retry_of: SpanContext | None = None,
    ) -> Sequence[ReadableSpan]:
        if retry_of is not None:
            self._span.add_link(retry_of, _REPEATS)
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if not status.is_unset:
            self._span.set_status(status)
        self._span.end(end_time=end)
        return ()

    def finish_inner(
        self, name: str, attributes: Mapping[str, AttributeValue], end: int
    ) -> Sequence[ReadableSpan]:
        around = trace.set_span_in_context(self._span)
        inner = self._runtime.tracer.start_span(name, around, SpanKind.CLIENT, start_time=self._start)
        inner.set_attributes({**self.initial_attributes, **attributes})
        inner.end(end_time=end)
        return ()
