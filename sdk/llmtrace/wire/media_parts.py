"""Images, audio and files within messages: their bytes go, their size, media type and digest stay.

Runs before a message is cut, so that a picture of a few megabytes does not push its text out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from llmtrace.common import media
from llmtrace.common.media import Media

from .format import Json

#: Base64 in a place that nothing is known of: shorter texts may be ids and signatures.
_UNKNOWN_LENGTH: Final = 2048
#: The same where a field beside it says that it is bytes.
_NAMED_LENGTH: Final = 64
_DATA_KEYS: Final = frozenset({"data", "bytes", "b64_json", "base64", "file_data"})
_TYPE_KEYS: Final = ("mime_type", "media_type", "mimeType", "mediaType")
_DATA_URL: Final = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/_=-]{64,})", re.ASCII
)


def without_media(value: Json, attached: list[Media]) -> Json:
    """The value with base64 data in it replaced; what stood there is appended to `attached`, in order.

    A blob part keeps its form, with `size`, `sha256` and an empty `content`; elsewhere a text stands in the
    place of the data.
    """
    if isinstance(value, str):
        return _text(value, attached)
    if isinstance(value, list):
        return [without_media(item, attached) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "blob" and "modality" in value and isinstance(value.get("content"), str | bytes):
        return _blob(value, attached)
    return {key: _field(key, item, value, attached) for key, item in value.items()}


def _blob(part: Mapping[str, Any], attached: list[Media]) -> Json:
    declared = part.get("mime_type")
    declared = declared if isinstance(declared, str) else None
    data = part["content"]
    if isinstance(data, bytes):  # of an upload
        if "size" in part:
            return {**part, "content": ""}  # part of them was left out
        blob = media.of_bytes(data, declared)
    else:
        blob = media.of_base64(data, declared)
    attached.append(blob)
    return {**part, "mime_type": blob.media_type, "content": "", **blob.facts()}


def _field(key: str, item: Json, siblings: Mapping[str, Any], attached: list[Media]) -> Json:
    if key in _DATA_KEYS and isinstance(item, str) and media.is_base64(item, _NAMED_LENGTH):
        declared = next((siblings[name] for name in _TYPE_KEYS if isinstance(siblings.get(name), str)), None)
        if declared or key == "bytes" or siblings.get("type") == "base64":
            return _replaced(item, declared, attached)
    return without_media(item, attached)


def _text(text: str, attached: list[Media]) -> str:
    if len(text) < _NAMED_LENGTH:
        return text
    if ";base64," in text:
        return _DATA_URL.sub(lambda match: _replaced(match.group(2), match.group(1), attached), text)
    return _replaced(text, None, attached) if media.is_base64(text, _UNKNOWN_LENGTH) else text


def _replaced(data: str, media_type: str | None, attached: list[Media]) -> str:
    blob = media.of_base64(data, media_type)
    if not blob.sha256:  # only its beginning looks like base64
        return data
    attached.append(blob)
    return blob.in_words()
