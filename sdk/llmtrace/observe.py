"""`@llmtrace.observe`: a span around a function, coroutine, generator or async generator."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar, cast, overload

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from . import attribution, guard, runtime, semconv
from .runtime_type import Runtime

P = ParamSpec("P")
R = TypeVar("R")
_LONGEST_VALUE: Final = 8192


@overload
def observe(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def observe(
    *, name: str | None = None, capture_args: bool = False, capture_result: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def observe(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    capture_args: bool = False,
    capture_result: bool = False,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each call of the function as a span, the parent of every span made inside.

    Use bare (`@observe`) or with options. Exceptions are recorded on the span and raised untouched. A
    generator's span lasts until it is exhausted or closed, and is active only while its body runs.

    name: the span's name, default the function's qualified name.
    capture_args, capture_result: record arguments, result (for generators: nothing) as JSON text of at
        most 8192 characters. Off by default, since arguments hold secrets more often than one thinks;
        without effect when `init(capture_content=False)`.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        observed = _Observed(target, name or target.__qualname__, capture_args, capture_result)
        wrapper: Callable[..., Any]
        if inspect.isasyncgenfunction(target):
            wrapper = observed.async_generator()
        elif inspect.iscoroutinefunction(target):
            wrapper = observed.coroutine()
        elif inspect.isgeneratorfunction(target):
            wrapper = observed.generator()
        else:
            wrapper = observed.plain()
        return cast("Callable[P, R]", wrapper)

    return decorate(function) if function is not None else decorate


class _Observed:
    """One decorated function."""

    def __init__(self, function: Callable[..., Any], name: str, args: bool, result: bool) -> None:
        self._function = function
        self._name = name
        self._capture_args = args
        self._capture_result = result

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
            steps = _Steps(self._start(args, kwargs))
            step: Callable[[], Any] = functools.partial(next, inner)
            try:
                while True:
                    try:
                        with steps.active():
                            item = step()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        step = functools.partial(inner.send, (yield item))
                    except GeneratorExit:
                        with steps.active():
                            inner.close()
                        raise
                    except BaseException as thrown:  # noqa: BLE001  # `throw` belongs to the inner generator
                        step = functools.partial(inner.throw, thrown)
            except GeneratorExit:
                raise
            except BaseException as error:
                _note_error(steps.span, error)
                raise
            finally:
                _end(steps.span)

        return wrapper

    def async_generator(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = self._function(*args, **kwargs)
            steps = _Steps(self._start(args, kwargs))
            step: Callable[[], Any] = inner.__anext__
            try:
                while True:
                    try:
                        with steps.active():
                            item = await step()
                    except StopAsyncIteration:
                        return
                    try:
                        step = functools.partial(inner.asend, (yield item))
                    except GeneratorExit:
                        with steps.active():
                            await inner.aclose()
                        raise
                    except BaseException as thrown:  # noqa: BLE001
                        step = functools.partial(inner.athrow, thrown)
            except GeneratorExit:
                raise
            except BaseException as error:
                _note_error(steps.span, error)
                raise
            finally:
                _end(steps.span)

        return wrapper

    @contextmanager
    def _span(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Span | None]:
        span = self._start(args, kwargs)
        if span is None:
            yield None
            return
        token = otel_context.attach(set_span_in_context(span))
        try:
            yield span
        except BaseException as error:
            _note_error(span, error)
            raise
        finally:
            otel_context.detach(token)
            _end(span)

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span | None:
        running = runtime.current()
        if running is None:
            return None
        try:
            span = running.tracer.start_span(self._name)
            function = self._function
            span.set_attribute(semconv.CODE_FUNCTION_NAME, f"{function.__module__}.{function.__qualname__}")
            if self._capture_args and span.is_recording() and _content(running):
                bound = inspect.signature(function).bind(*args, **kwargs).arguments
                given = {key: value for key, value in bound.items() if key not in {"self", "cls"}}
                span.set_attribute(semconv.FUNCTION_ARGUMENTS, _text(given))
        except Exception as error:  # noqa: BLE001  # the guard
            guard.report("starting an observed span", error)
            return None
        return span

    def _note_result(self, span: Span | None, result: Any) -> None:
        if span is None or not self._capture_result:
            return
        try:
            running = runtime.current()
            if running is not None and span.is_recording() and _content(running):
                span.set_attribute(semconv.FUNCTION_RESULT, _text(result))
        except Exception as error:  # noqa: BLE001  # the guard
            guard.report("recording a result", error)


class _Steps:
    """Makes the span active for one step of a generator at a time.

    What the body attached meanwhile is put back at its next step, and never seen by the consumer.
    """

    def __init__(self, span: Span | None) -> None:
        self.span = span
        self._context: Context | None = None if span is None else set_span_in_context(span)

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
    except Exception as ours:  # noqa: BLE001  # the guard
        guard.report("recording an exception", ours)


def _end(span: Span | None) -> None:
    if span is None:
        return
    try:
        span.end()
    except Exception as error:  # noqa: BLE001  # the guard
        guard.report("ending an observed span", error)


def _content(running: Runtime) -> bool:
    return attribution.captures_content(running.config.capture_content)


def _text(value: Any) -> str:
    text = json.dumps(value, default=repr, ensure_ascii=False)
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}…[llmtrace left out {len(text) - _LONGEST_VALUE} characters]"
