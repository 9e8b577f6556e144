"""The log of every part: a line for each record, whatever the values in it hold."""

from __future__ import annotations

import logging
import threading
import time

from .escaping import visible, visible_lines

_FORMAT = "%(levelname)s %(name)s: %(message)s"

#: Before each line of a traceback, so that none of them looks like a record.
_CONTINUED = "    | "


#: Within which a warning that says the same is written once.
_QUIET_SECONDS = 10.0

#: Kinds that are remembered at most.
_KINDS = 1000


class OncePerKind(logging.Filter):
    """Lets a warning or an error through once in `seconds` a kind: the same logger, level and text before its
    values are filled in. The next that passes says how many were left out.

    One that says too little of itself (a text of nothing but `%s`) is a kind by its whole text.
    """

    def __init__(self, seconds: float = _QUIET_SECONDS) -> None:
        super().__init__()
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; its text ends with how many like it were not."""
        if record.levelno < logging.WARNING:
            return True
        text = str(record.msg)
        if not text.replace("%s", "").strip(" :;,"):
            text = record.getMessage()
        kind = (record.name, record.levelno, text)
        now = time.monotonic()
        with self._lock:
            last, left_out = self._kinds.get(kind, (-self._seconds, 0))
            if last > now - self._seconds and kind in self._kinds:
                self._kinds[kind] = (last, left_out + 1)
                return False
            if len(self._kinds) >= _KINDS:  # the oldest: they are kept in order of their last line
                del self._kinds[next(iter(self._kinds))]
            self._kinds.pop(kind, None)
            self._kinds[kind] = (now, 0)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more like this since {now - last:.0f} s ago)"
            record.args = None
        return True


class LineFormatter(logging.Formatter):
    """Formats a record as one line; a traceback follows in lines that begin with `    | `.

    Control characters, line breaks and what turns text around are shown as escapes.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's own line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: logging._SysExcInfoType) -> str:
        """A traceback, each line marked."""
        return _marked(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """A stack, each line marked."""
        return _marked(super().formatStack(stack_info))


def _marked(text: str) -> str:
    # Line feeds alone are lines: other separators within a message are escaped.
    return "\n".join(_CONTINUED + line for line in visible_lines(text).split("\n"))


def log_to_stderr(level: int | str = logging.INFO, *, time: bool = True) -> None:
    """Let the root logger write lines to standard error, unless the process has a handler already.

    A kind of warning is written once in ten seconds, with the number of those left out before it.

    time: whether each line begins with the time.
    """
    handler = logging.StreamHandler()
    handler.addFilter(OncePerKind())
    handler.setFormatter(LineFormatter(f"%(asctime)s {_FORMAT}" if time else _FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
