"""The hook on starting threads: a thread has the context of who started it while that holds.

What it runs is replaced on the one object that is started, and put back when the thread begins: classes stay
as they are, `run` may be anybody's, and nothing of this is seen from within.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from llmtrace.capture import interceptor
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes, generator_blocks

_CARRYING: Final = swallow("giving a thread its context")
_ABSENT: Final = object()
#: Whose threads work for everybody: pools, servers, queues, and what sends spans.
_SHARED_WORKERS: Final = frozenset(
    {
        *("anyio", "apscheduler", "asgiref", "asyncio", "celery", "cheroot", "concurrent", "dramatiq"),
        *("gunicorn", "hypercorn", "kombu", "llmtrace", "logging", "multiprocessing", "opentelemetry", "rq"),
        *("sentry_sdk", "socketserver", "tornado", "uvicorn", "waitress", "werkzeug"),
    }
)


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.Thread, "start", _start


def carries() -> bool:
    """Whether contexts go to threads now."""
    runtime = interceptor.current_runtime()
    return runtime is not None and runtime.config.propagate_threads


def _start(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> Any:
        context: Context | None = None
        with _CARRYING:
            context = _context_of(self)
        if context is None:
            return original(self)
        withdraw = _run_within(self, context)
        # Whatever else hands the context on at this moment (Python itself can) hands on this one.
        token = otel_context.attach(context)
        try:
            return original(self)
        except BaseException:
            withdraw()
            raise
        finally:
            otel_context.detach(token)

    return start


def _context_of(thread: threading.Thread) -> Context | None:
    context = generator_blocks.taken_over(generator_blocks.current())
    # A thread that an HTTP library starts while it sends is its own.
    if not context or interceptor.is_inside(context) or not carries() or _works_for_all(thread):
        return None
    if getattr(thread, "_context", None) is not None:
        return None  # from Python 3.14 on, a thread may be given one
    return context_attributes.for_thread(context)


def _works_for_all(thread: threading.Thread) -> bool:
    work = type(thread).run
    if work.__module__ == "threading":
        work = getattr(thread, "_target", None) or work
        while isinstance(work, functools.partial):
            work = work.func
    module = getattr(work, "__module__", None) or type(work).__module__
    return module.partition(".")[0] in _SHARED_WORKERS


def _run_within(thread: threading.Thread, context: Context) -> Callable[[], None]:
    """Let the thread begin by attaching the context. What is returned takes that back."""
    attributes = thread.__dict__
    own, run = attributes.get("run", _ABSENT), thread.run

    def withdraw() -> None:
        if own is _ABSENT:
            attributes.pop("run", None)
        else:
            attributes["run"] = own

    def run_within() -> None:
        withdraw()  # first, for the thread must not hold itself
        otel_context.attach(context)
        run()

    attributes["run"] = run_within
    return withdraw
