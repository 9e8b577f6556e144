"""A received body to JSON: one value, or the events of a stream in any of its framings."""

from __future__ import annotations

import json
from typing import Final

from . import aws_stream, sse
from .base import Json

_LINES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json")


def events(content_type: str, body: bytes) -> list[Json] | None:
    """The events of a streamed body, in order; None where the body is one JSON value."""
    if sse.is_stream(content_type, body):
        return sse.events(body)
    if content_type.startswith(aws_stream.CONTENT_TYPE):
        return aws_stream.events(body)
    if content_type.startswith(_LINES):
        return [value for line in body.splitlines() if (value := decoded(line)) is not None]
    return None


def decoded(body: bytes) -> Json:
    """The JSON value, or None where it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None
