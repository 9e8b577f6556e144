"""`@llmtrace.observe`: a span around a function, coroutine, generator or async generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

from llmtrace.spans.capture_level import Capture, chosen

from . import span_shapes
from .decorator import P, R, observed


@overload
def observe(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def observe(
    *,
    name: str | None = None,
    capture: Capture | None = None,
    capture_args: bool | None = None,
    capture_result: bool | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def observe(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    capture: Capture | None = None,
    capture_args: bool | None = None,
    capture_result: bool | None = None,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each call of the function as a span, the parent of every span made inside.

    Use bare (`@observe`) or with options. Exceptions are recorded on the span and raised untouched. A
    generator's span lasts until it is exhausted or closed, and is active only while its body runs.

    name: the span's name, default the function's qualified name.
    capture: how much content of the function is recorded, in place of what `init` or a block says: "all"
        records arguments and result; nothing is recorded where they say "none".
    capture_args, capture_result: record arguments, result (for generators: nothing) where messages are
        recorded too, or never. Without them it takes "all", since arguments hold secrets more often than one
        thinks. As JSON of at most 8192 characters: docs/sdk.md says what becomes of values that are no JSON.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        shape = span_shapes.function(
            name or target.__qualname__,
            arguments=capture_args,
            result=capture_result,
            capture=chosen(capture, f"@llmtrace.observe on {target.__qualname__}"),
        )
        return observed(target, shape)

    return decorate(function) if function is not None else decorate
