"""The hooks on the pools of `multiprocessing`: tasks of a `ThreadPool` have the context of their caller."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from . import executors

# `apply` goes by way of `apply_async`.
_METHODS: Final = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    for name in _METHODS:
        yield module.ThreadPool, name, _carrying
    yield module.Pool, "__init__", executors.without_context


def _carrying(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        context = executors.context_of_task()
        if context is not None:
            func = functools.partial(executors.run_within, context, func)
        return original(self, func, *args, **kwargs)

    method.__qualname__ = f"ThreadPool.{original.__name__}"  # it comes from `Pool`
    return method
