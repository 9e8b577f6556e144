"""Which calls are made for an entry of a cache: those between a look-up that missed and its storing."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from llmtrace import semconv

from . import context_attributes

#: As many calls of one entry are remembered.
_MOST_CALLS: Final = 64


class CacheFill:
    """An entry that a cache did not have, and the spans of the calls begun since (16 hexadecimal digits)."""

    __slots__ = ("cache", "entry", "spans")

    def __init__(self, cache: str, entry: str) -> None:
        self.cache = cache
        self.entry = entry
        self.spans: list[str] = []


_open: ContextVar[CacheFill | None] = ContextVar("llmtrace-cache-fill", default=None)


def begin(cache: str, entry: str) -> None:
    """From now on calls in this context, and in those copied from it, are noted for this entry."""
    fill = _open.get()
    if fill is None or (fill.cache, fill.entry) != (cache, entry):
        _open.set(CacheFill(cache, entry))


def note_call(span: SpanContext, here: Context) -> None:
    """A call begins in the context `here`. What a cache itself needs (embeddings of a look-up or of what is
    stored) is no part of an answer."""
    fill = _open.get()
    if fill is None or len(fill.spans) >= _MOST_CALLS:
        return
    if semconv.CACHE_NAME not in context_attributes.attributes(here):
        fill.spans.append(f"{span.span_id:016x}")


def end(cache: str, entry: str) -> list[str]:
    """The calls that were noted for this entry, which are noted no longer; none where it was not begun."""
    fill = _open.get()
    if fill is None or (fill.cache, fill.entry) != (cache, entry):
        return []
    _open.set(None)
    return fill.spans
