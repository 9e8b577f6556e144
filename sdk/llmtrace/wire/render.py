"""Messages to a JSON string that stays valid and bounded.

Long texts are cut with a visible mark, never silently; media inside `data:` URLs are cut to a stub, since a
picture of a few megabytes on every span of a conversation would outweigh everything else.
"""

from __future__ import annotations

import json
from typing import Final

from .format import Json

LEFT_OUT: Final = "…[llmtrace left out "
"""What the mark of a cut text begins with."""

_MEDIA_LIMIT: Final = 2048
_MEDIA_KEPT: Final = 64
_WORDS: Final = 512
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


def media(data: Json) -> Json:
    """Base64 data for a blob part: whole when small, else its beginning and a mark."""
    if isinstance(data, str) and len(data) > _MEDIA_LIMIT:
        return data[:_MEDIA_KEPT] + _mark(len(data) - _MEDIA_KEPT)
    return data


def slim(value: Json) -> Json:
    """A value of unknown shape with the media in it cut: long texts without a space are no words."""
    if isinstance(value, str):
        return media(value) if len(value) > _MEDIA_LIMIT and " " not in value[:_WORDS] else value
    if isinstance(value, list):
        return [slim(item) for item in value]
    if isinstance(value, dict):
        return {key: slim(item) for key, item in value.items()}
    return value


def url_part(url: Json, modality: str) -> Json:
    """A uri part, or a blob part for a `data:` URL."""
    if isinstance(url, str) and url[:5].lower() == "data:":
        head, _, data = url[5:].partition(",")
        return {
            "type": "blob",
            "modality": modality,
            "mime_type": head.split(";")[0] or None,
            "content": media(data),
        }
    return {"type": "uri", "modality": modality, "uri": url}


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
