"""Spans of generators that are suspended, and of streams: what is left of them when the process ends."""

from __future__ import annotations

from typing import Final, Protocol

from llmtrace.capture import open_streams


class OpenSpan(Protocol):
    """A span that its generator has not ended yet."""

    def end(self, error: BaseException | None = None) -> None:
        """End it, once."""


#: In the order of their starts.
_open: Final[dict[OpenSpan, None]] = {}


def add(span: OpenSpan) -> None:
    """A span of a generator started."""
    _open[span] = None


def discard(span: OpenSpan) -> None:
    """It is ended by its generator."""
    _open.pop(span, None)


def end_all() -> None:
    """End the streams that are open, as left before their end, and then the spans whose generators are
    suspended, the inner ones first, as if these were closed now. Called before the last delivery.

    The generators themselves are the program's. Python closes them after this; to do it here would show a
    consumer on another thread an ordinary end.
    """
    open_streams.end_all()
    while _open:
        try:
            span, _ = _open.popitem()
        except KeyError:  # another thread was quicker
            return
        span.end()


def forget() -> None:
    """In a child process: they are the parent's to end."""
    open_streams.forget()
    _open.clear()
