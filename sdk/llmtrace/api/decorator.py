"""The machinery of the decorators: a span around each call of a function, coroutine or generator."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from llmtrace import internal_errors, semconv
from llmtrace.capture.runtime import Runtime
from llmtrace.spans import context_attributes

from . import lifecycle

P = ParamSpec("P")
R = TypeVar("R")
Attributes = Mapping[str, AttributeValue]
_LONGEST_VALUE: Final = 8192


@dataclass(frozen=True, slots=True)
class SpanShape:
    """What the span of one decorated function looks like.

    arguments, result: the content to record, from the bound arguments by name and the result; None: nothing.
    inherited: attributes that every span within has as well.
    """

    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Attributes = field(default_factory=dict)
    inherited: Attributes = field(default_factory=dict)
    arguments: Callable[[Mapping[str, Any]], Attributes] | None = None
    result: Callable[[Any], Attributes] | None = None


def observed(function: Callable[P, R], shape: SpanShape) -> Callable[P, R]:
    """The function with a span around each call."""
    observed_function = _ObservedFunction(function, shape)
    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(function):
        wrapper = observed_function.async_generator()
    elif inspect.iscoroutinefunction(function):
        wrapper = observed_function.coroutine()
    elif inspect.isgeneratorfunction(function):
        wrapper = observed_function.generator()
    else:
        wrapper = observed_function.plain()
    return cast("Callable[P, R]", wrapper)


def as_text(value: Any) -> str:
    """JSON of a value, with `repr` for what JSON has no form for; cut with a visible mark."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}…[llmtrace left out {len(text) - _LONGEST_VALUE} characters]"


class _ObservedFunction:
    """One decorated function."""

    def __init__(self, function: Callable[..., Any], shape: SpanShape) -> None:
        self._function = function
        self._shape = shape

    def plain(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._span(args, kwargs) as span:
                result = self._function(*args, **kwargs)
                self._note_result(span, result)
                return result

        return wrapper

    def coroutine(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._span(args, kwargs) as span:
                result = await self._function(*args, **kwargs)
                self._note_result(span, result)
                return result

        return wrapper

    def generator(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inner = self._function(*args, **kwargs)
            generator_span = _GeneratorSpan(*self._start(args, kwargs))
            step: Callable[[], Any] = functools.partial(next, inner)
            try:
                while True:
                    try:
                        with generator_span.active():
                            item = step()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        step = functools.partial(inner.send, (yield item))
                    except GeneratorExit:
                        with generator_span.active():
                            inner.close()
                        raise
                    except BaseException as thrown:  # noqa: BLE001  # `throw` belongs to the inner generator
                        step = functools.partial(inner.throw, thrown)
            except GeneratorExit:
                raise
            except BaseException as error:
                _note_error(generator_span.span, error)
                raise
            finally:
                _end(generator_span.span)

        return wrapper

    def async_generator(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = self._function(*args, **kwargs)
            generator_span = _GeneratorSpan(*self._start(args, kwargs))
            step: Callable[[], Any] = inner.__anext__
            try:
                while True:
                    try:
                        with generator_span.active():
                            item = await step()
                    except StopAsyncIteration:
                        return
                    try:
                        step = functools.partial(inner.asend, (yield item))
                    except GeneratorExit:
                        with generator_span.active():
                            await inner.aclose()
                        raise
                    except BaseException as thrown:  # noqa: BLE001
                        step = functools.partial(inner.athrow, thrown)
            except GeneratorExit:
                raise
            except BaseException as error:
                _note_error(generator_span.span, error)
                raise
            finally:
                _end(generator_span.span)

        return wrapper

    @contextmanager
    def _span(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Span | None]:
        span, context = self._start(args, kwargs)
        if span is None or context is None:
            yield None
            return
        token = otel_context.attach(context)
        try:
            yield span
        except BaseException as error:
            _note_error(span, error)
            raise
        finally:
            otel_context.detach(token)
            _end(span)

    def _start(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Span, Context] | tuple[None, None]:
        """The span and the context in which it is the active one."""
        try:
            runtime = lifecycle.current()
            if runtime is None:
                return None, None
            shape, function = self._shape, self._function
            attributes = dict(shape.attributes)
            attributes[semconv.CODE_FUNCTION_NAME] = f"{function.__module__}.{function.__qualname__}"
            span = runtime.tracer.start_span(shape.name, kind=shape.kind, attributes=attributes)
            context = set_span_in_context(span)
            if shape.inherited:
                context = context_attributes.within(shape.inherited, context)
            if shape.arguments is not None and span.is_recording() and _content(runtime):
                bound = inspect.signature(function).bind(*args, **kwargs).arguments
                arguments = {key: value for key, value in bound.items() if key not in {"self", "cls"}}
                span.set_attributes(shape.arguments(arguments))
        except Exception as error:  # noqa: BLE001  # see internal_errors
            internal_errors.report("starting an observed span", error)
            return None, None
        return span, context

    def _note_result(self, span: Span | None, result: Any) -> None:
        if span is None or self._shape.result is None:
            return
        try:
            runtime = lifecycle.current()
            if runtime is not None and span.is_recording() and _content(runtime):
                span.set_attributes(self._shape.result(result))
        except Exception as error:  # noqa: BLE001  # see internal_errors
            internal_errors.report("recording a result", error)


class _GeneratorSpan:
    """Makes the span active for one step of a generator at a time.

    What the body attached meanwhile is put back at its next step, and never seen by the consumer.
    """

    def __init__(self, span: Span | None, context: Context | None) -> None:
        self.span = span
        self._context = context

    @contextmanager
    def active(self) -> Iterator[None]:
        if self._context is None:
            yield
            return
        token = otel_context.attach(self._context)
        try:
            yield
        finally:
            self._context = otel_context.get_current()
            otel_context.detach(token)


def _note_error(span: Span | None, error: BaseException) -> None:
    if span is None:
        return
    try:
        span.record_exception(error)
        kind = type(error).__qualname__
        span.set_attribute(semconv.ERROR_TYPE, kind)
        span.set_status(Status(StatusCode.ERROR, f"{kind}: {error}"))
    except Exception as ours:  # noqa: BLE001  # see internal_errors
        internal_errors.report("recording an exception", ours)


def _end(span: Span | None) -> None:
    if span is None:
        return
    try:
        span.end()
    except Exception as error:  # noqa: BLE001  # see internal_errors
        internal_errors.report("ending an observed span", error)


def _content(runtime: Runtime) -> bool:
    return context_attributes.captures_content(runtime.config.capture_content)
