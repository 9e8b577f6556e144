"""What takes secrets out of texts that people see: errors of receivers, of the network, of libraries."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote, urlsplit

_INSTEAD = "[secret]"
#: Shorter pieces of a path or query are words that say where something is.
_SHORTEST_PIECE = 12


def redacted(text: str, secrets: Collection[str]) -> str:
    """The text with every secret replaced, also where it stands in the form that urls have."""
    forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _INSTEAD)
    return text


def secrets_of_url(url: str) -> list[str]:
    """What of a secret url must not be seen: the whole, its path with query, and the long pieces of both."""
    parts = urlsplit(url)
    tail = f"{parts.path}?{parts.query}" if parts.query else parts.path
    pieces = tail.replace("?", "/").replace("&", "/").replace("=", "/").split("/")
    long_pieces = [piece for piece in pieces if len(piece) >= _SHORTEST_PIECE]
    credentials = [piece for piece in (parts.username, parts.password) if piece and len(piece) > 3]
    return [url, *([tail] if len(tail) > 1 else []), *long_pieces, *credentials]
