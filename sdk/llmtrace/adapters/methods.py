"""Replacing methods of one object, so that what they do inside by each other is seen once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from llmtrace.internal_errors import swallow

#: Whether a replaced method is running in this context.
_running: Final[ContextVar[bool]] = ContextVar("llmtrace-cache-method", default=False)
_MARK: Final = "_llmtrace_traced"
_REPLACING: Final = swallow("making a cache say what it does")

Around = Callable[..., Any]
"""`around(call, *args, **kwargs)` is given the method; of a coroutine function it is one itself."""


def replace(owner: object, name: str, around: Around) -> None:
    """Let `around` run in place of a method that the object has. Its own calls of other replaced methods pass
    through. Never raises: an object that cannot be changed is left as it is."""
    with _REPLACING:
        _replace(owner, name, around)


def _replace(owner: object, name: str, around: Around) -> None:
    method = getattr(owner, name, None)
    if method is None or hasattr(method, _MARK):
        return
    wrapper: Callable[..., Any]
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            if _running.get():
                return await method(*args, **kwargs)
            return await around(functools.partial(_within_coroutine, method), *args, **kwargs)

        wrapper = asynchronous
    else:

        @functools.wraps(method)
        def synchronous(*args: Any, **kwargs: Any) -> Any:
            if _running.get():
                return method(*args, **kwargs)
            return around(functools.partial(_within, method), *args, **kwargs)

        wrapper = synchronous
    setattr(wrapper, _MARK, True)
    setattr(owner, name, wrapper)


def _within(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    token = _running.set(True)
    try:
        return method(*args, **kwargs)
    finally:
        _running.reset(token)


async def _within_coroutine(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    token = _running.set(True)
    try:
        return await method(*args, **kwargs)
    finally:
        _running.reset(token)
