"""Messages to a JSON string that stays valid and bounded.

Long texts are cut with a visible mark, never silently. What is no text, `media_parts` takes out before.
"""

from __future__ import annotations

import json
from typing import Final

from .format import Json

LEFT_OUT: Final = "…[llmtrace left out "
"""What the mark of a cut text begins with."""
MESSAGE_CHARS: Final = 2**20
"""Bound on the messages of one side of a call, and on the documents of a retrieval."""

_TEXT_LIMITS: Final = (131_072, 16_384, 2_048, 256, 32)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode


def render(messages: list[Json], limit: int) -> str:
    """Compact JSON of at most about `limit` characters: the longest texts are cut until it fits."""
    text = _encode(messages)
    if len(text) > min(limit, _TEXT_LIMITS[0]):
        for longest in _TEXT_LIMITS:
            text = _encode(_cut(messages, longest))
            if len(text) <= limit:
                break
        else:
            text = _encode([{"role": "system", "parts": [{"type": "text", "content": _mark(len(text))}]}])
    return text if text.isascii() else _whole_characters(text)


def _whole_characters(text: str) -> str:
    """Halves of characters beyond the first plane, which some servers send in two events, put together."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of a text, with a mark of what was left out."""
    longest = min(limit, _TEXT_LIMITS[0])
    return text if len(text) <= longest else text[:longest] + _mark(len(text) - longest)


def bounded(value: Json, limit: int) -> str | None:
    """JSON of any value, of `limit` characters at most, its texts cut as those of messages are; None where
    that is not enough.
    """
    text = json.dumps(value, ensure_ascii=False, default=repr)
    if len(text) <= limit:
        return text
    for longest in _TEXT_LIMITS:
        shorter = json.dumps(_cut(value, longest), ensure_ascii=False, default=repr)
        if len(shorter) <= limit:
            return shorter
    return None


def _cut(value: Json, longest: int) -> Json:
    if isinstance(value, str):
        return value if len(value) <= longest else value[:longest] + _mark(len(value) - longest)
    if isinstance(value, list):
        return [_cut(item, longest) for item in value]
    if isinstance(value, dict):
        return {key: _cut(item, longest) for key, item in value.items()}
    return value


def _mark(left_out: int) -> str:
    return f"{LEFT_OUT}{left_out} characters]"
