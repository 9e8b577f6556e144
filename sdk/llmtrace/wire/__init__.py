"""The wire formats this SDK reads; a new one is a module here and a line below."""

from __future__ import annotations

from typing import Final

from . import openai_chat
from .base import WireFormat

FORMATS: Final[tuple[WireFormat, ...]] = (openai_chat.FORMAT,)


def recognise(path: str, body: bytes) -> WireFormat | None:
    """The format of a POST to `path` (without query), by shape alone: hosts are not asked."""
    for candidate in FORMATS:
        if candidate.matches(path, body):
            return candidate
    return None
