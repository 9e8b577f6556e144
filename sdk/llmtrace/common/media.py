"""Images, audio and other bytes: what they are, by their own first bytes, and how they are written down."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

#: Formats of audio that APIs name in words of their own.
_AUDIO_TYPES: Final[Mapping[str, str]] = MappingProxyType({"mp3": "audio/mpeg", "m4a": "audio/mp4"})

#: What a browser may be handed as it is: formats that hold no script and name no address.
SHOWN_TYPES: Final = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp"),
        *("audio/wav", "audio/mpeg", "audio/ogg", "audio/flac", "audio/mp4", "audio/aac"),
    }
)

_BEGINNINGS: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"GIF87a": "image/gif",
        b"GIF89a": "image/gif",
        b"OggS": "audio/ogg",
        b"fLaC": "audio/flac",
        b"ID3": "audio/mpeg",
        b"\xff\xfb": "audio/mpeg",
        b"\xff\xf3": "audio/mpeg",
        b"\xff\xf2": "audio/mpeg",
        b"\xff\xf1": "audio/aac",
        b"\xff\xf9": "audio/aac",
        b"%PDF-": "application/pdf",
        b"PK\x03\x04": "application/zip",
    }
)
_IN_RIFF: Final = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_IN_MP4: Final = {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"avif": "image/avif", b"heic": "image/heic"}
_URL_SAFE: Final = str.maketrans("-_", "+/")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes that a text held as base64.

    media_type: what the sender says they are, else what their beginning says; None where neither does.
    size: in bytes. sha256: hexadecimal digest; "" where the text is no base64, and `data` is empty.
    """

    media_type: str | None
    size: int
    sha256: str
    data: bytes = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """Size and digest, as a part of a message tells them."""
        return {"size": self.size, **({"sha256": self.sha256} if self.sha256 else {})}

    def in_words(self) -> str:
        """The same within a text."""
        digest = f", sha256 {self.sha256}" if self.sha256 else ""
        return f"[llmtrace left out {self.media_type or 'media'} of {self.size} bytes{digest}]"


def of_base64(text: str, media_type: str | None = None) -> Media:
    """The bytes of a base64 text, in either alphabet, on lines or not, with or without padding."""
    text = text.strip()
    if "\n" in text:
        text = "".join(text.split())
    text = text.rstrip("=")
    try:
        data = binascii.a2b_base64(text.translate(_URL_SAFE) + "=" * (-len(text) % 4), strict_mode=True)
    except (ValueError, UnicodeEncodeError):
        return Media(media_type, len(text) * 3 // 4, "", b"")
    return of_bytes(data, media_type)


def of_bytes(data: bytes, media_type: str | None = None) -> Media:
    """Bytes as they are."""
    return Media(media_type or sniffed(data) or None, len(data), hashlib.sha256(data).hexdigest(), data)


def sniffed(data: bytes) -> str:
    """The media type that the first bytes show; "" where they show none that is known here."""
    if data[:4] == b"RIFF":
        return _IN_RIFF.get(data[8:12], "")
    if data[4:8] == b"ftyp":
        return _IN_MP4.get(data[8:12], "video/mp4")
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), "")


def is_base64(text: str, shortest: int) -> bool:
    """Whether a text of at least `shortest` characters is base64 and no words: a look at its beginning."""
    return len(text) >= shortest and _BASE64.fullmatch(text, 0, shortest) is not None


def audio_type(audio_format: object) -> str | None:
    """The media type of a format such as `mp3`; None for what is no word."""
    if not isinstance(audio_format, str) or not audio_format:
        return None
    return _AUDIO_TYPES.get(audio_format, f"audio/{audio_format}")
