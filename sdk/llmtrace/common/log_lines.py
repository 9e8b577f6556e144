"""The log of every part: a line for each record, whatever the values in it hold."""

from __future__ import annotations

import logging

from .escaping import visible, visible_lines

_FORMAT = "%(levelname)s %(name)s: %(message)s"

#: Before each line of a traceback, so that none of them looks like a record.
_CONTINUED = "    | "


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

    time: whether each line begins with the time.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(f"%(asctime)s {_FORMAT}" if time else _FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
