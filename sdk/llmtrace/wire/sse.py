"""Server-sent events to JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .base import Json


def is_stream(content_type: str, body: bytes) -> bool:
    """Whether a body is an event stream; some servers forget to say so."""
    return content_type.startswith("text/event-stream") or body[:64].lstrip().startswith(
        (b"data:", b"event:")
    )


def events(body: bytes) -> Iterator[Json]:
    """The JSON value of each event, in order. What is not JSON (`[DONE]`, a torn last event) is left out."""
    pending: list[bytes] = []
    for line in body.splitlines():
        if line.startswith(b"data:"):
            pending.append(line[5:])
        elif not line and pending:
            yield from _decoded(pending)
            pending.clear()
    if pending:
        yield from _decoded(pending)


def _decoded(lines: list[bytes]) -> Iterator[Json]:
    # One event per line is the rule; the standard allows an event of several lines, and some servers
    # send several events without the blank line between them.
    if len(lines) > 1:
        try:
            yield json.loads(b"\n".join(lines))
        except ValueError:
            pass
        else:
            return
    for line in lines:
        try:
            yield json.loads(line.decode("utf-8", "replace"))
        except ValueError:
            continue


def is_done(body: bytes) -> bool:
    """Whether the stream ended with the `[DONE]` that OpenAI-style servers send last."""
    return b"[DONE]" in body[-64:]
