"""The error bodies of providers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from .format import Json, items, mapping

_SHORTEST_KEY: Final = 8


def provider_error(body: Json, *, failed: bool) -> tuple[str | None, str | None]:
    """(error type, message) of a body; None where it does not say.

    failed: whether the HTTP status says so. If not, only what is plainly an error counts, such as one in the
    middle of a stream.

    Known shapes: `{"error": {"code", "type", "message"}}` (OpenAI and those like it), the same inside a
    list (Google), `{"error": "text"}`, `{"last_error": …}` (runs), `{"detail": …}` (FastAPI),
    `{"message": "text", "__type"}` (AWS, Cohere). A code that is a number is a type where there is no word.
    """
    if isinstance(body, list) and body:
        body = body[0]
    outer = mapping(body)
    error = outer.get("error") or outer.get("last_error") or _error_elsewhere(outer, failed=failed)
    kind, message = _of_error(error) if error else (None, None)
    if failed or kind or message:
        named = outer.get("__type")
        kind = kind or _first_text(
            outer.get("code"),
            outer.get("error_type"),
            named.rpartition("#")[2] if isinstance(named, str) else None,
        )
        kind = kind or _first_number(outer.get("code"), outer.get("status_code"))
        message = message or _first_text(outer.get("message"), outer.get("Message"), outer.get("detail"))
    return kind, message


def _of_error(error: Json) -> tuple[str | None, str | None]:
    inner = mapping(error)
    kind = _first_text(inner.get("code"), inner.get("type"), inner.get("status"))
    kind = kind or _first_number(inner.get("code"), inner.get("status"), inner.get("status_code"))
    return kind, _first_text(inner.get("message"), error, inner.get("detail"))


def _error_elsewhere(body: Any, *, failed: bool) -> Json:
    """The error of a choice (OpenRouter), a body that is one (vLLM), the first of a list (Cloudflare)."""
    for choice in items(body.get("choices")):
        if error := mapping(choice).get("error"):
            return error
    if body.get("object") == "error":
        return body
    return next(iter(items(body.get("errors"))), None) if failed else None


def without_secrets(message: str, secrets: Iterable[str]) -> str:
    """Providers echo keys in their messages; a span never holds one. Placeholders ("none") are no keys."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_KEY:
            message = message.replace(secret, "[redacted]")
    return message


def _first_number(*candidates: Json) -> str | None:
    return next((str(value) for value in candidates if type(value) is int and value), None)


def _first_text(*candidates: Json) -> str | None:
    return next((value for value in candidates if isinstance(value, str) and value), None)
