"""A stream as one JSON array, an event an entry: Gemini's without `alt=sse`.

Its bytes are read as Latin-1, a byte a character, so that places in the text are places in the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from llmtrace.wire.format import Json

_BETWEEN: Final = re.compile(r"[\s,]*")
_decode = json.JSONDecoder().raw_decode


def is_array(body: bytes) -> bool:
    """Whether a body begins like one."""
    return body[:64].lstrip().startswith(b"[")


def events(body: bytes) -> list[Json]:
    """The entries, in order; a torn last one is left out."""
    try:
        entries = json.loads(body)
    except ValueError:
        return [json.loads(body[start:end].decode("utf-8", "replace")) for start, end, _ in _entries(body)]
    return entries if isinstance(entries, list) else []


def positioned(body: bytes) -> list[tuple[int, list[Json]]]:
    """(where its last byte stands, the entry), whose texts beyond ASCII are not to be read."""
    return [(end - 1, [entry]) for _, end, entry in _entries(body)]


def _entries(body: bytes) -> Iterator[tuple[int, int, Json]]:
    """(where it begins, where it ends, the value) of each entry until one is torn."""
    text = body.decode("latin-1")
    at = text.find("[") + 1
    while at:
        start = _between(text, at)
        try:
            entry, at = _decode(text, start)
        except ValueError:
            return
        yield start, at, entry


def _between(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match is not None else at
