"""The program's own log, sent with the ids of the active span: `init(logs=True)`.

The hook is on `Logger.callHandlers`, which every record passes that its logger lets through: it does not
depend on handlers, so that a set-up made later (`dictConfig`, `propagate=False`, `disable_existing_loggers`)
changes nothing. Nothing here raises outside strict mode, and no record that sending another causes is sent.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import context as otel_context

from llmtrace import semconv
from llmtrace.delivery.exporter import LogRecord
from llmtrace.delivery.queue import DeliveryWorker
from llmtrace.internal_errors import swallow

from . import log_records

_SENDING: Final = swallow("sending a log record")
_OURS: Final = "llmtrace"


class ProgramLogs:
    """What of the program's log is sent, and how much. Thread-safe; `after_fork` renews it in a child."""

    def __init__(self, worker: DeliveryWorker, *, level: int, per_second: int) -> None:
        """level: of `logging`, the least that is sent. per_second: the most records, 0 for no limit."""
        self._worker = worker
        self.level = level
        self._per_second = per_second
        self._inside = threading.local()
        self._lock = threading.Lock()
        self._second = self._taken = self._limited = 0

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._inside = threading.local()
        self._second = self._taken = self._limited = 0

    def submit(self, logger_name: str, make: Callable[[], LogRecord]) -> None:
        """Send what `make` returns, unless the rate is reached or another one is being sent here."""
        if (
            logger_name == _OURS
            or logger_name.startswith(f"{_OURS}.")
            or getattr(self._inside, "is_set", False)
        ):
            return
        if otel_context.get_value("suppress_instrumentation"):
            return  # our own delivery's requests, or what another exporter does
        self._inside.is_set = True
        try:
            with _SENDING:
                if self._is_allowed():
                    self._worker.submit_log(make())
        finally:
            self._inside.is_set = False

    def close(self) -> None:
        """Tell what was left out."""
        with self._lock:
            limited, self._limited = self._limited, 0
        self._tell(limited)

    def _is_allowed(self) -> bool:
        if not self._per_second:
            return True
        second = int(time.monotonic())
        limited = 0
        with self._lock:
            if second != self._second:
                self._second, self._taken = second, 0
                limited, self._limited = self._limited, 0
            is_allowed = self._taken < self._per_second
            if is_allowed:
                self._taken += 1
            else:
                self._limited += 1
        if not is_allowed:
            self._worker.count_limited(1)
        self._tell(limited)
        return is_allowed

    def _tell(self, limited: int) -> None:
        if not limited:
            return
        body = f"{limited} log records were left out: more than {self._per_second} in a second"
        attributes = {semconv.LOGS_LIMITED: limited}
        number = log_records.severity_number(logging.WARNING)
        self._worker.submit_log(LogRecord(time.time_ns(), "", 0, 0, attributes, body, "WARNING", number))


_active: ProgramLogs | None = None
_hook: Any = None


def install(logs: ProgramLogs) -> None:
    """Send the program's log from now on."""
    global _active, _hook
    _active = logs
    if logging.Logger.callHandlers is not _hook:
        # One of before that lies below somebody's, or was taken off with it, does nothing any more.
        _hook = _wrapped(logging.Logger.callHandlers)
        logging.Logger.callHandlers = _hook  # type: ignore[method-assign]


def remove() -> None:
    """Send nothing any more; the hook comes off unless somebody has put one of theirs on top."""
    global _active, _hook
    logs, _active = _active, None
    if logs is not None:
        logs.close()
    if _hook is not None and logging.Logger.callHandlers is _hook:
        logging.Logger.callHandlers = vars(_hook)["__wrapped__"]  # type: ignore[method-assign]
        _hook = None


def after_fork() -> None:
    """In the child."""
    if _active is not None:
        _active.after_fork()


def _wrapped(original: Callable[[logging.Logger, logging.LogRecord], None]) -> Any:
    @functools.wraps(original)
    def callHandlers(logger: logging.Logger, record: logging.LogRecord) -> None:  # logging's
        logs = _active
        # A record of another process (a log server's) is that process's to send.
        if (
            logs is not None
            and _hook is callHandlers
            and record.levelno >= logs.level
            and record.process in (None, os.getpid())
        ):
            logs.submit(record.name, lambda: log_records.of_logging(record))
        return original(logger, record)

    return callHandlers


def log_event(logger: Any, method: str, event: Mapping[str, Any]) -> None:
    """Send an event of structlog, unless it goes through `logging`, where the hook takes it."""
    logs = _active
    if logs is None or isinstance(logger, logging.Logger):
        return
    with _SENDING:
        if log_records.level_of_event(method, event) < logs.level:
            return
        name = str(event.get("logger") or getattr(logger, "name", None) or "structlog")
        exc_info = event.get("exc_info")
        if exc_info is True or (exc_info is None and method == "exception"):
            exc_info = sys.exc_info()
        logs.submit(name, lambda: log_records.of_event(time.time_ns(), name, method, event, exc_info))
