"""`with llmtrace.span(...)`: a span around a block, and what the decorators make of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.internal_errors import swallow
from llmtrace.spans import capture_level, context_attributes, generator_blocks
from llmtrace.spans.capture_level import Capture

from . import lifecycle, open_spans, span_shapes
from .json_values import as_text
from .span_shapes import SpanShape, StepKind

_STARTING: Final = swallow("starting a span")
_CONTENT: Final = swallow("asking whether content is recorded")
_INPUT: Final = swallow("recording an input")
_OUTPUT: Final = swallow("recording a result")
_EXCEPTION: Final = swallow("recording an exception")
_ATTRIBUTES: Final = swallow("recording attributes")
_ENTERING: Final = swallow("making a span the active one")
_LEAVING: Final = swallow("making a span inactive")
_ENDING: Final = swallow("ending a span")
_NAMELESS: Final = span_shapes.plain("span")


class Span:
    """A span that `llmtrace.span` started. Where nothing records, every method is without effect.

    No method raises. Content (`set_input`, `set_output`) is recorded where content is captured, and redacted
    like all texts.
    """

    __slots__ = ("_capture", "_otel_span", "_shape")

    def __init__(self, shape: SpanShape) -> None:
        """Start it; the block makes it the active one."""
        self._shape = shape
        self._otel_span: trace.Span | None = None
        self._capture: Capture = "none"
        with _STARTING:
            runtime = lifecycle.current()
            if runtime is None:
                return
            self._otel_span = runtime.tracer.start_span(
                shape.name, context_attributes.here(), kind=shape.kind, attributes=shape.attributes
            )
            self._capture = runtime.config.capture

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits, for `llmtrace.score` and `trace_url`; None where nothing records."""
        return None if self._otel_span is None else f"{self._otel_span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str | None:
        """16 hexadecimal digits; None where nothing records."""
        return None if self._otel_span is None else f"{self._otel_span.get_span_context().span_id:016x}"

    @property
    def records_content(self) -> bool:
        """Whether `set_input` and `set_output` of a block have an effect here."""
        with _CONTENT:
            return self._level() != "none"
        return False

    @property
    def records_input(self) -> bool:
        """Whether anything of an input is recorded here."""
        with _CONTENT:
            return self._otel_span is not None and self._shape.input_at(self._level()) is not None
        return False

    def _level(self) -> Capture:
        if self._otel_span is None or not self._otel_span.is_recording():
            return "none"
        return capture_level.effective(self._shape.capture, context_attributes.capture(self._capture))

    def set_attribute(self, key: str, value: Any) -> None:
        """Record an attribute: text, number, truth value or a list of one of them; else its JSON.

        None is left out.
        """
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Record several: see `set_attribute`."""
        with _ATTRIBUTES:
            if self._otel_span is not None:
                self._otel_span.set_attributes(_attribute_values(attributes))

    def set_input(self, value: Any) -> None:
        """Record what goes in, as JSON text of at most 8192 characters.

        Of a retrieval: the query's text, or a mapping with `query` and `top_k`.
        """
        with _INPUT:
            write = self._shape.input_at(self._level())
            if write is not None and self._otel_span is not None:
                self._otel_span.set_attributes(write(value))

    def set_output(self, value: Any) -> None:
        """Record what comes out, likewise. Of a retrieval: ids and scores of documents, their texts too where
        all content is recorded.
        """
        with _OUTPUT:
            write = self._shape.output_at(self._level())
            if write is not None and self._otel_span is not None:
                self._otel_span.set_attributes(write(value))

    def record_exception(self, error: BaseException) -> None:
        """Mark the span as failed by an exception. One that leaves the block is recorded by itself."""
        with _EXCEPTION:
            if self._otel_span is not None:
                self._otel_span.record_exception(error)
                kind = type(error).__qualname__
                self._otel_span.set_attribute(semconv.ERROR_TYPE, kind)
                self._otel_span.set_status(Status(StatusCode.ERROR, f"{kind}: {error}"))

    def applied(self, base: Context) -> Context:
        """The context in which it is the active span: see `generator_blocks.Change`."""
        if self._otel_span is None:
            return base
        context = set_span_in_context(self._otel_span, context_attributes.settled(base))
        inherited = self._shape.inherited
        return context_attributes.within(inherited, context) if inherited else context

    def withheld(self, base: Context) -> Context:
        """The span around it is right for all that may be within: see `generator_blocks.Change`."""
        return base

    def end(self, error: BaseException | None = None) -> None:
        """End it, with the exception that left the block. The block does so by itself."""
        # A generator that is closed before its end has not failed.
        if error is not None and not isinstance(error, GeneratorExit):
            self.record_exception(error)
        with _ENDING:
            if self._otel_span is not None and self._otel_span.is_recording():  # once
                self._otel_span.end()


class SpanBlock:
    """A span of a shape around a block, sync or async; each entering starts another one, in any task."""

    def __init__(self, shape: SpanShape) -> None:
        self._shape = shape
        self._entered: list[tuple[Span, generator_blocks.Entry | None]] = []

    def start(self) -> Span:
        """Start what an entering gives."""
        return Span(self._shape)

    def __enter__(self) -> Span:
        started = self.start()
        entry: generator_blocks.Entry | None = None
        with _ENTERING:
            if started._otel_span is not None:
                entry = generator_blocks.enter(started, sys._getframe(1))
                if type(entry) is generator_blocks.GeneratorBlock:
                    open_spans.add(started)
        self._entered.append((started, entry))
        return started

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        started, entry = self._leave()
        if entry is not None:
            entry.leave()
            if type(entry) is generator_blocks.GeneratorBlock:
                with _LEAVING:
                    open_spans.discard(started)
        started.end(error)

    def _leave(self) -> tuple[Span, generator_blocks.Entry | None]:
        """What was entered here: other tasks, threads and generators may be within the same block."""
        entries = self._entered
        left = entries[-1]
        if len(entries) > 1:
            with _LEAVING:
                here = (entered for entered in entries[::-1] if entered[1] and entered[1].is_here())
                left = next(here, left)
        entries.remove(left)
        return left

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class span(SpanBlock):  # read as a noun: `with llmtrace.span("name") as span`
    """Record a block as a span, the parent of every span made inside. For functions there are decorators.

        with llmtrace.span("weather", kind="tool") as span:
            span.set_input({"city": city})
            span.set_output(forecast := fetch(city))

    Works with `with` and `async with`. Exceptions are recorded on the span and raised untouched. Entering and
    leaving never raise; where tracing is off, the span that it gives is without effect.

    name: the span's name; with a kind, the name of the agent, tool or data source.
    kind: "agent", "tool" or "retrieval" make the spans that the decorators of these names make; by default
        the span is like that of `observe`.
    attributes: the first attributes, as by `set_attributes`.
    """

    def __init__(
        self,
        name: str,
        *,
        kind: StepKind | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        shape = _NAMELESS
        with _STARTING:
            shape = span_shapes.plain(str(name))
            shape = span_shapes.of_kind(str(name), kind)
            if attributes:
                shape = span_shapes.with_attributes(shape, _attribute_values(attributes))
        super().__init__(shape)


def _attribute_values(attributes: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {str(key): _attribute_value(value) for key, value in attributes.items() if value is not None}


def _attribute_value(value: Any) -> AttributeValue:
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        kinds = {type(item) for item in value}
        if len(kinds) <= 1 and kinds <= {str, bool, int, float}:
            return list(value)
    return as_text(value)
