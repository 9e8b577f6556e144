"""The machinery of the decorators: a span around each call of a function, coroutine or generator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from llmtrace import semconv
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes, generator_blocks, running_frames

from . import open_spans
from .span import Span, SpanBlock
from .span_shapes import SpanShape, with_attributes

P = ParamSpec("P")
R = TypeVar("R")
_ARGUMENTS: Final = swallow("binding arguments")
_STEP: Final = swallow("making a generator's span the active one")


def observed(
    function: Callable[P, R], shape: SpanShape, block: type[SpanBlock] = SpanBlock
) -> Callable[P, R]:
    """The function with a span around each call; `block`: what the span is of."""
    name = f"{function.__module__}.{function.__qualname__}"
    observed_function = _ObservedFunction(
        function, with_attributes(shape, {semconv.CODE_FUNCTION_NAME: name}), block
    )
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


class _ObservedFunction:
    """One decorated function."""

    def __init__(self, function: Callable[..., Any], shape: SpanShape, block: type[SpanBlock]) -> None:
        self._function = function
        self._shape = shape
        self._block = block

    def plain(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._block(self._shape) as span:
                self._record_arguments(span, args, kwargs)
                result = self._function(*args, **kwargs)
                span.set_output(result)
                return result

        return wrapper

    def coroutine(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._block(self._shape) as span:
                self._record_arguments(span, args, kwargs)
                result = await self._function(*args, **kwargs)
                span.set_output(result)
                return result

        return wrapper

    def generator(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inner = self._function(*args, **kwargs)
            with _GeneratorSpan(self._block(self._shape)) as active:
                self._record_arguments(active.span, args, kwargs)
                step: Callable[[], Any] = functools.partial(next, inner)
                while True:
                    try:
                        item = active.run(step)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        step = functools.partial(inner.send, (yield item))
                    except GeneratorExit:
                        active.run(inner.close)
                        raise
                    except BaseException as thrown:  # noqa: BLE001  # `throw` belongs to the inner generator
                        step = functools.partial(inner.throw, thrown)

        return wrapper

    def async_generator(self) -> Callable[..., Any]:
        @functools.wraps(self._function)
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = self._function(*args, **kwargs)
            with _GeneratorSpan(self._block(self._shape)) as active:
                self._record_arguments(active.span, args, kwargs)
                step: Callable[[], Any] = inner.__anext__
                while True:
                    try:
                        item = await active.run_async(step)
                    except StopAsyncIteration:
                        return
                    try:
                        step = functools.partial(inner.asend, (yield item))
                    except GeneratorExit:
                        await active.run_async(inner.aclose)
                        raise
                    except BaseException as thrown:  # noqa: BLE001
                        step = functools.partial(inner.athrow, thrown)

        return wrapper

    def _record_arguments(self, span: Span, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not span.records_input:
            return
        with _ARGUMENTS:
            bound = inspect.signature(self._function).bind(*args, **kwargs).arguments
            span.set_input({key: value for key, value in bound.items() if key not in {"self", "cls"}})


class _GeneratorSpan:
    """The span of one run of a generator, from its first step to its end."""

    __slots__ = ("_step", "span")

    def __init__(self, block: SpanBlock) -> None:
        self.span = block.start()
        self._step = _ActiveStep(self.span)
        with _STEP:
            open_spans.add(self.span)

    def __enter__(self) -> _ActiveStep:
        return self._step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _STEP:
            open_spans.discard(self.span)
        self.span.end(error)


class _ActiveStep:
    """Makes the span of a generator active for one step at a time.

    What the body attached meanwhile is put back at its next step, and never seen by the consumer.
    """

    __slots__ = ("_attached", "_context", "_managed", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self._attached: generator_blocks.Attached | None = None
        self._context: Context | None = None
        self._managed: Token[Any]
        with _STEP:
            here = context_attributes.here()
            context = span.applied(here)
            if context is not here:
                self._context = generator_blocks.taken_over(context)

    def run(self, step: Callable[[], Any]) -> Any:
        """Run one step."""
        with self:
            return step()

    async def run_async(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """Run one step of an async generator."""
        with self:
            return await step()

    def __enter__(self) -> None:
        with _STEP:
            if self._context is not None:
                before = otel_context.get_current()
                token = otel_context.attach(self._context)
                self._attached = generator_blocks.Attached(token, self._context, before)
                self._managed = generator_blocks.managed.set(())  # they are in its context already

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _STEP:
            attached, self._attached = self._attached, None
            if attached is not None:
                at_the_end = otel_context.get_current()
                attached.leave()
                with suppress(ValueError, RuntimeError):  # closed in another context
                    generator_blocks.managed.reset(self._managed)
                self._context = generator_blocks.without_blocks(at_the_end)


for _run in (_ActiveStep.run, _ActiveStep.run_async):
    running_frames.end_stack_at(_run.__code__)  # the generator keeps the context in which it began
