"""The one place where this SDK's own failures are swallowed.

A tracing library must never break the program it watches: every entry point calls `report` instead of
letting its own exception out. Each kind of failure is logged once with its traceback; under
`LLMTRACE_STRICT=1` (this project's tests, or yours) it is raised instead.
"""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger("llmtrace")

# Re-entrant: garbage collection may end an abandoned stream, which reports, while a report is being made.
_lock = threading.RLock()
_reported: set[str] = set()
_counts: dict[str, int] = {}
_strict = False


def configure(*, strict: bool) -> None:
    """Set whether `report` raises (strict) or logs once per kind, and forget what was logged."""
    global _strict
    with _lock:
        _strict = strict
        _reported.clear()
        _counts.clear()


def report(kind: str, error: BaseException, *, may_raise: bool = True) -> None:
    """Record one internal failure.

    `kind` names what was being done ("reading a response"); it is the key of log-once. On threads of
    our own, where raising reaches nobody, pass `may_raise=False`: strict mode then logs every failure.
    """
    with _lock:
        _counts[kind] = _counts.get(kind, 0) + 1
        first = kind not in _reported
        _reported.add(kind)
    if _strict and may_raise:
        raise error
    if first or _strict:
        logger.error(
            "llmtrace failed at %s (%s: %s); the program is unaffected, the trace may lack this piece. "
            "Further failures of this kind are counted, not logged.",
            kind,
            type(error).__name__,
            error,
            exc_info=error,
        )


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
