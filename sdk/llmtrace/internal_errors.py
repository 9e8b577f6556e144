"""The one place where this SDK's own failures are swallowed.

A tracing library must never break the program it watches: whatever runs on the program's path runs within
`swallow`. Each kind of failure is logged once with its traceback; under `LLMTRACE_STRICT=1` (this project's
tests, or yours) it is raised instead.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec

P = ParamSpec("P")

logger = logging.getLogger("llmtrace")

# Re-entrant: garbage collection may end an abandoned stream, which reports, while a report is being made.
_lock = threading.RLock()
_reported: set[str] = set()
_counts: dict[str, int] = {}
_strict = False


def configure(*, strict: bool) -> None:
    """Set whether failures are raised (strict) or logged once per kind, and forget what was logged."""
    global _strict
    with _lock:
        _strict = strict
        _reported.clear()
        _counts.clear()


class swallow:  # read as a verb, like `contextlib.suppress`
    """Keep a failure of ours within the block, or within the function that is decorated.

        with swallow("reading the counters"):
            return runtime.stats()
        return Stats()  # where it failed

    It holds no state: one that is made once, at a module's level, serves any number of threads and nested
    blocks, at a tenth of a microsecond each. Only `Exception` is kept in: KeyboardInterrupt, SystemExit,
    GeneratorExit and a task's cancellation are the program's and pass.
    """

    __slots__ = ("_kind", "_may_raise")

    def __init__(self, kind: str, *, may_raise: bool = True) -> None:
        """kind: what was being done ("reading a response"); it is the key of log-once.

        may_raise: False on threads of our own, where raising reaches nobody; strict mode then logs every
        failure.
        """
        self._kind = kind
        self._may_raise = may_raise

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):  # in this order: nearly always it is None
            return False
        return not _count(self._kind, error, may_raise=self._may_raise)

    def __call__(self, function: Callable[P, None]) -> Callable[P, None]:
        """Decorate a plain function that returns nothing. TypeError for coroutines and generators.

        Of those the call only makes the object; what runs later needs the `with` in their body.
        """
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} is asynchronous: use `with swallow(...)` inside it")
        if inspect.isgeneratorfunction(function):
            raise TypeError(f"{function.__qualname__} is a generator: use `with swallow(...)` inside it")

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
            with self:
                function(*args, **kwargs)

        return wrapper


def report(kind: str, error: Exception, *, may_raise: bool = True) -> None:
    """Record a failure that was caught elsewhere, because something is to be done about it: see `swallow`."""
    if _count(kind, error, may_raise=may_raise):
        raise error


def _count(kind: str, error: Exception, *, may_raise: bool) -> bool:
    """Count and log one failure; whether it is to be raised."""
    with _lock:
        _counts[kind] = _counts.get(kind, 0) + 1
        first = kind not in _reported
        _reported.add(kind)
    if _strict and may_raise:
        return True
    if first or _strict:
        logger.error(
            "llmtrace failed at %s (%s: %s); the program is unaffected, the trace may lack this piece. "
            "Further failures of this kind are counted, not logged.",
            kind,
            type(error).__name__,
            error,
            exc_info=error,
        )
    return False


def warn_once(kind: str, message: str, *args: object) -> None:
    """Log a warning the first time `kind` happens."""
    with _lock:
        if kind in _reported:
            return
        _reported.add(kind)
    logger.warning(message, *args)


def after_fork() -> None:
    """In the child: another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.RLock()


def failures() -> dict[str, int]:
    """How often each kind of internal failure happened since `configure`."""
    with _lock:
        return dict(_counts)
