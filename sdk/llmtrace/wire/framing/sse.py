"""Server-sent events to JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from llmtrace.wire.format import Json, word

#: How lines of an event stream begin; no JSON begins so.
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_BOM: Final = b"\xef\xbb\xbf"
#: Errors by the name of their event, or of their line (llama.cpp).
_ERROR_EVENTS: Final = (b"event: error", b"event:error", b"\nerror:", b"\rerror:")


def is_stream(content_type: str, body: bytes) -> bool:
    """Whether a body is an event stream; some servers forget to say so, or say so of an error in plain JSON.

    content_type: in lower case.
    """
    begin = body[:64].removeprefix(_BOM).lstrip()
    if begin.startswith((b"{", b"[")):
        return content_type.startswith("text/event-stream") and b"data:" in body
    return content_type.startswith("text/event-stream") or begin.startswith(_FIELDS)


def events(body: bytes) -> list[Json]:
    """The JSON value of each event, in order. What is not JSON (`[DONE]`, a torn last event) is left out."""
    body = body.removeprefix(_BOM)
    if b"error" in body and any(mark in body for mark in _ERROR_EVENTS):
        return list(_one_by_one(body))
    payloads = [line[5:] for line in body.splitlines() if line.startswith(b"data:")]
    if payloads and payloads[-1].strip() == b"[DONE]":
        payloads.pop()
    try:
        # All at once: a third of the time of one by one.
        parsed: list[Json] = json.loads((b"[" + b",".join(payloads) + b"]").decode())
    except ValueError:
        return list(_one_by_one(body))
    return parsed


def _one_by_one(body: bytes) -> Iterator[Json]:
    pending: list[bytes] = []
    is_error = False
    for line in (*body.splitlines(), b""):
        if line.startswith(b"data:"):
            pending.append(line[5:])
        elif line.startswith(b"error:"):
            pending.append(line[6:])
            is_error = True
        elif line.startswith(b"event:"):
            is_error = line[6:].strip() == b"error"
        elif not line:
            values = list(_decoded(pending))
            if is_error and pending and not values:
                values = [b"\n".join(pending).decode("utf-8", "replace").strip()]
            yield from map(_as_error, values) if is_error else values
            pending.clear()
            is_error = False


def _as_error(value: Json) -> Json:
    """Some servers say only in the event's name that it is an error."""
    if isinstance(value, dict) and ("error" in value or word(value, "type") == "error"):
        return value
    return {"error": value}


def _decoded(lines: list[bytes]) -> Iterator[Json]:
    # One line per event is the rule; the standard allows an event of several lines, and some servers
    # send several events without the blank line between them.
    if len(lines) > 1:
        with suppress(ValueError):
            yield json.loads(b"\n".join(lines))
            return
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line.decode("utf-8", "replace"))


def is_done(body: bytes) -> bool:
    """Whether the stream ended with the `[DONE]` that OpenAI-style servers send last."""
    return b"[DONE]" in body[-64:]
