"""OpenAI Realtime: what its events are. Azure, xAI and others have the same, before and after its general
availability (`response.audio.delta`, `response.output_audio.delta`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from llmtrace.wire.format import mapping, word
from llmtrace.wire.framing import decode

from .dialect import NOTHING, Dialect, Kind, Signal, base64_size, event_head, response_id
from .openai_realtime import FORMAT, TRANSCRIPTION

_APPEND: Final = b"input_audio_buffer.append"
_ASKED: Final = Signal("asked")
_INPUT: Final = Signal("input")
_SENT: Final = {
    b"response.create": _ASKED,
    b"conversation.item.create": _INPUT,
    b"input_audio_buffer.clear": Signal("cleared"),
}
_SESSION: Final = Signal("session")
_TRANSCRIBED: Final = b"conversation.item.input_audio_transcription.completed"
_RECEIVED: Final = {
    **dict.fromkeys(
        (
            b"session.created",
            b"session.updated",
            b"transcription_session.created",
            b"transcription_session.updated",
        ),
        _SESSION,
    ),
    b"input_audio_buffer.committed": Signal("committed"),
    b"input_audio_buffer.speech_started": _INPUT,
    b"input_audio_buffer.speech_stopped": _INPUT,
    _TRANSCRIBED: Signal("call"),
}
_AUDIO_FIELD: Final = re.compile(rb'"audio"\s*:\s*"')
#: Of a response: pieces that say again what its last event holds, or that hold media.
_AUDIO: Final = frozenset({b"response.audio.delta", b"response.output_audio.delta"})
_LEFT_OUT: Final = (b".done", b".added", b"in_progress")
_ID: Final = re.compile(rb'"response"\s*:\s*\{\s*(?:"object"\s*:\s*"[^"]*"\s*,\s*)?"id"\s*:\s*"([^"]*)"')
#: Errors of a response, by their code; an error of another message need not name that.
_OF_RESPONSE: Final = frozenset(
    {
        "conversation_already_has_active_response",
        "insufficient_quota",
        "rate_limit_exceeded",
        "server_error",
        "model_not_found",
    }
)


def matches(path: str) -> bool:
    """`/v1/realtime`, Azure's `/openai/realtime` and `/openai/v1/realtime`, and others' paths of that end."""
    return path.rstrip("/").endswith("/realtime")


def sent(message: bytes) -> Signal:
    """What the program sends."""
    kind, _ = event_head(message)
    if kind == _APPEND:
        return Signal("media", "", base64_size(message, _AUDIO_FIELD))
    return _SENT.get(kind, NOTHING)


def received(message: bytes) -> Signal:
    """What the server sends."""
    kind, of_response = event_head(message)
    if kind in _AUDIO:
        return _signal("output", of_response or response_id(message))
    if kind.startswith(b"response."):
        if kind == b"response.created":
            return Signal("begun", _id_of_response(message))
        if kind == b"response.done":
            return Signal("over", _id_of_response(message), has_usage=True)
        if kind == b"response.output_item.done" or not kind.endswith(_LEFT_OUT):
            return _signal("piece", of_response or response_id(message))
        return NOTHING
    if kind == b"error":
        return _error(message)
    return _RECEIVED.get(kind, NOTHING)


@lru_cache(maxsize=256)
def _signal(kind: Kind, of_response: bytes) -> Signal:
    """A response has many pieces."""
    return Signal(kind, of_response.decode("utf-8", "replace"))


def _id_of_response(message: bytes) -> str:
    """The response's own id, which nearly always is its first field or its second."""
    if (match := _ID.search(message)) is not None:
        return match[1].decode("utf-8", "replace")
    return word(mapping(mapping(decode.decoded(message)).get("response")), "id")


def _error(message: bytes) -> Signal:
    """Whose fault an error is; there are few."""
    error = mapping(mapping(decode.decoded(message)).get("error"))
    at_fault = word(error, "event_id")
    of_response = word(error, "code") in _OF_RESPONSE or word(error, "param").startswith("response")
    return Signal("failed" if of_response else "error", at_fault)


REALTIME: Final = Dialect(
    matches=matches,
    sent=sent,
    received=received,
    format=FORMAT,
    call_format=TRANSCRIPTION,
    output=b'{"type":"response.output_audio.delta","delta":"-"}',
)
