"""`@llmtrace.observe`: a span around a function, coroutine, generator or async generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

from . import span_shapes
from .decorator import P, R, observed


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
        shape = span_shapes.plain(
            name or target.__qualname__, capture_input=capture_args, capture_output=capture_result
        )
        return observed(target, shape)

    return decorate(function) if function is not None else decorate
