"""The error bodies of providers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .base import Json, mapping

_SHORTEST_KEY: Final = 8


def provider_error(body: Json) -> tuple[str | None, str | None]:
    """(error type, message) of an error body; None where it does not say.

    Known shapes: `{"error": {"code", "type", "message"}}` (OpenAI and those like it), the same inside a
    list (Google), `{"error": "text"}`, `{"detail": …}` (FastAPI), `{"message": "text"}`.
    """
    if isinstance(body, list) and body:
        body = body[0]
    outer = mapping(body)
    error = outer.get("error")
    inner = mapping(error)
    kind = _first_text(inner.get("code"), inner.get("type"), inner.get("status"), outer.get("code"))
    message = _first_text(
        inner.get("message"), error, outer.get("message"), outer.get("detail"), inner.get("detail")
    )
    return kind, message


def without_secrets(message: str, secrets: Iterable[str]) -> str:
    """Providers echo keys in their messages; a span never holds one. Placeholders ("none") are no keys."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_KEY:
            message = message.replace(secret, "[redacted]")
    return message


def _first_text(*candidates: Json) -> str | None:
    return next((value for value in candidates if isinstance(value, str) and value), None)
