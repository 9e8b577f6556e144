"""JSON that others wrote, within bounds: a request's body, and texts of JSON inside of it."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import from_json

from llmtrace.common.http_limits.json_bounds import JsonBounds, JsonTooComplex, check_json

from .errors import ApiError

BOUNDS: Final = JsonBounds(depth=128, members=20_000, values=250_000)
"""Of a request: levels, keys of objects, and values, which may be the token ids of a long prompt."""


def check_body(raw: bytes) -> None:
    """Raises ApiError 400 for a body that would be too much for a parser."""
    try:
        check_json(raw, depth=BOUNDS.depth, members=BOUNDS.members, values=BOUNDS.values)
    except JsonTooComplex as error:
        raise ApiError(400, str(error), code="invalid_json") from error


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The object that a text of JSON is. ValueError for anything else, and for halves of surrogate pairs."""
    raw = text.encode() if isinstance(text, str) else text
    check_json(raw, depth=BOUNDS.depth, members=BOUNDS.members, values=BOUNDS.values)
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"must be JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("must be JSON text of an object")  # noqa: TRY004 - a value, not a type
    return value


def model_named_in(raw: bytes) -> str:
    """The model that a body names which is not valid, for its span; "" where it names none."""
    try:
        model = parse_object(raw).get("model")
    except ValueError:
        return ""
    return model[:128] if isinstance(model, str) else ""
