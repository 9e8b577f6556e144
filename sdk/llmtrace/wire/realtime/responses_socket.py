"""OpenAI's Responses over a WebSocket: each `response.create` is a request, answered by a stream's events."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmtrace import semconv
from llmtrace.wire.format import Json, Translation
from llmtrace.wire.openai import responses

from .dialect import NOTHING, Dialect, Signal, event_head
from .session_frames import Frames

_ENDS: Final = frozenset({b"response.completed", b"response.incomplete", b"response.failed"})
_ASKED: Final = Signal("asked")
_PIECE: Final = Signal("piece")
_OVER: Final = Signal("over")
_FAILED: Final = Signal("failed")


def matches(path: str) -> bool:
    """`/v1/responses`, and what gateways have below it."""
    return path.rstrip("/").removesuffix("/ws").endswith("/responses")


def sent(message: bytes) -> Signal:
    """What the program sends."""
    return _ASKED if event_head(message)[0] == b"response.create" else NOTHING


def received(message: bytes) -> Signal:
    """What the server sends; one response at a time, as it promises."""
    kind, _ = event_head(message)
    if kind in _ENDS:
        return _OVER
    if kind == b"error":
        return _FAILED
    return _PIECE if kind.startswith(b"response.") else NOTHING


def request(body: Json, path: str, content: bool) -> Translation:
    """As the same request over HTTP."""
    translation = responses.request(Frames(body).last("response.create"), path, content)
    translation.attributes[semconv.REQUEST_STREAM] = True
    return translation


FORMAT: Final = replace(responses.FORMAT, endings=(), request=request, joined=None, method="GET")
RESPONSES: Final = Dialect(
    matches=matches,
    sent=sent,
    received=received,
    format=FORMAT,
    output=b'{"type":"response.output_text.delta","delta":"-"}',
)
