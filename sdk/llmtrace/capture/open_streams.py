"""Streams that are being read: what is left of them when the process ends."""

from __future__ import annotations

from typing import Final

from llmtrace.internal_errors import swallow

from .call import LlmCall

_ENDING: Final = swallow("ending a stream at exit", may_raise=False)

_open: Final[dict[LlmCall, None]] = {}


def add(call: LlmCall) -> None:
    """Its stream begins."""
    _open[call] = None


def claim(call: LlmCall) -> bool:
    """Whether it is still open; it is for the one who asks to end it, and for nobody else."""
    return _open.pop(call, call) is None


def end_all() -> None:
    """End the open ones, as left before their end, with what was received. Wakes no thread."""
    while _open:
        try:
            call, _ = _open.popitem()
        except KeyError:  # another thread was quicker
            return
        with _ENDING:
            call.end(early=True, quiet=True)


def forget() -> None:
    """In a child process: they are the parent's to end."""
    _open.clear()
