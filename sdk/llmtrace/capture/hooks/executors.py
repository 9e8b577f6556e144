"""The hooks on the executors of `concurrent.futures`: a task has the context in which it was submitted.

A worker has none: it works for everybody. The workers of a process pool are forked while somebody submits,
and would have that one's context for good.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from llmtrace.spans import generator_blocks

from . import threads

_EMPTY: Final = Context()


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    if module.__name__ == "concurrent.futures.thread":
        yield module.ThreadPoolExecutor, "submit", _submit
    else:
        yield module.ProcessPoolExecutor, "submit", without_context


def context_of_task() -> Context | None:
    """The context that a task submitted now is run in; None for that of its worker."""
    context = generator_blocks.taken_over(generator_blocks.current())
    return context if context and threads.carries() else None


def run_within(context: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What the worker calls."""
    token = otel_context.attach(context)
    try:
        return function(*args, **kwargs)
    finally:
        otel_context.detach(token)


def without_context(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that starts workers, called in no context."""

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if context_of_task() is None:
            return original(self, *args, **kwargs)
        token = otel_context.attach(_EMPTY)
        try:
            return original(self, *args, **kwargs)
        finally:
            otel_context.detach(token)

    return method


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        context = context_of_task()
        if context is None or _is_interpreter_pool(self):
            return original(self, fn, *args, **kwargs)
        return original(self, run_within, context, fn, *args, **kwargs)

    return submit


def _is_interpreter_pool(executor: object) -> bool:
    """Python 3.14's, which is a thread pool by its class and pickles its tasks."""
    module = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(executor, module.InterpreterPoolExecutor)
