"""OpenAI's audio: `POST …/audio/transcriptions` and `…/audio/translations` (forms), `…/audio/speech` (JSON).

Also Azure's, Groq's, Mistral's and other servers' of the same shape. Transcripts are JSON, plain text,
subtitles or a stream of events; speech is sound, or a stream of events. What is billed is tokens, seconds of
sound, or characters of text.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    either,
    mapping,
    put_int,
    put_text,
    word,
)
from llmtrace.wire.framing import multipart
from llmtrace.wire.request_params import put_request_params

from .shared import is_billed_by_tokens, of_form, put_common, put_head, put_model, put_usage

_OTHER_THAN_JSON: Final = ("text/plain", "text/vtt", "text/srt", "application/x-subrip", "text/html")
_MANY_SECONDS: Final = 10**7


def _matches(ending: str, path: str, body: bytes) -> bool:
    fields = (b"file", b"model", b"response_format", b"language", b"prompt")
    return path.endswith(ending) and (not body or multipart.has_field(body, *fields))


def _matches_speech(path: str, body: bytes) -> bool:
    return path.endswith("/audio/speech") and b'"input"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """The fields of a form to attributes; what is sent along is a picture of size, type and digest."""
    payload = of_form(mapping(body))
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OUTPUT_TYPE] = "text"
    put_model(attributes, payload, path)
    put_request_params(attributes, payload)
    put_common(attributes, payload)
    if content:
        parts = [
            message_parts.upload("audio", file["content_type"], file["data"], file["size"])
            for file in multipart.files(payload.get("file"))
        ]
        if url := either(payload, "file_url", "url"):
            parts.append(message_parts.uri("audio", url))
        if prompt := payload.get("prompt"):
            parts.append(message_parts.text(prompt))
        translation.content[semconv.INPUT_MESSAGES] = [message_parts.message("user", parts)]
    return translation


def response(body: Json, content: bool) -> Translation:
    """A transcript to attributes; of subtitles and plain text nothing tells the usage."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_head(attributes, payload)
    _put_usage(attributes, mapping(payload.get("usage")), payload.get("duration"))
    _put_end(attributes, payload)
    text = payload.get("text")
    if content and isinstance(text, str):
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(text)])
        ]
    return translation


def _put_usage(attributes: dict[str, AttributeValue], usage: Any, duration: Json) -> None:
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, either(usage, "input_tokens", "prompt_tokens"))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, either(usage, "output_tokens", "completion_tokens"))
    details = mapping(either(usage, "input_token_details", "input_tokens_details"))
    put_int(attributes, semconv.USAGE_AUDIO_INPUT_TOKENS, details.get("audio_tokens"))
    put_int(attributes, semconv.USAGE_TEXT_INPUT_TOKENS, details.get("text_tokens"))
    seconds = usage.get("prompt_audio_seconds")
    if seconds is None and semconv.USAGE_INPUT_TOKENS not in attributes:
        seconds = either(usage, "seconds", "audio_seconds")
        seconds = duration if seconds is None else seconds
    if type(seconds) in (int, float) and 0 < seconds < _MANY_SECONDS:
        attributes[semconv.USAGE_AUDIO_INPUT_SECONDS] = math.ceil(seconds)


def _put_end(attributes: dict[str, AttributeValue], payload: Any) -> None:
    if word(payload, "type").endswith(".done"):
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["stop"]


def fold(events: Iterable[Json]) -> Json:
    """The event that ends a transcript, with its text; else what came of it."""
    pieces: list[str] = []
    transcript: dict[str, Json] = {}
    for event in map(mapping, events):
        kind = word(event, "type")
        if kind == "transcript.text.delta":
            pieces.append(word(event, "delta"))
        elif kind == "transcript.text.done" or "error" in event:
            transcript.update(event)
    transcript.setdefault("text", "".join(pieces))
    return transcript


def plain_text(content_type: str, received: bytes, size: int) -> Json:
    """A transcript that is no JSON: text, or subtitles."""
    kind = content_type.strip().lower()
    if "json" in kind or received[:64].lstrip().startswith(b"{"):
        return None
    return {"text": received.decode("utf-8", "replace")} if received else None


def request_speech(body: Json, path: str, content: bool) -> Translation:
    """The text to speak, and with which model."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OUTPUT_TYPE] = "speech"
    put_model(attributes, payload, path)
    put_common(attributes, payload)
    if payload.get("stream_format") == "sse":
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(payload.get("input"))])
        ]
        if instructions := message_parts.instructions(payload.get("instructions")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
    return translation


def response_speech(body: Json, content: bool) -> Translation:
    """Sound, of which size, type and digest are told, and the usage that a stream's last event has."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    usage = mapping(payload.get("usage"))
    put_usage(attributes, usage)
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("input_tokens"))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, usage.get("output_tokens"))
    _put_end(attributes, payload)
    if content:
        sounds = [
            message_parts.upload("audio", file["content_type"], file["data"], file["size"])
            for file in multipart.files(payload.get("sound"))
        ]
        if data := _joined(payload.get("pieces")):
            sounds.append(message_parts.upload("audio", None, data, len(data)))
        if sounds:
            translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", sounds)]
    return translation


def _joined(pieces: Json) -> bytes:
    sound = bytearray()
    for piece in pieces if isinstance(pieces, list) else []:
        with suppress(binascii.Error, TypeError, ValueError):
            sound += b64decode(piece)
    return bytes(sound)


def fold_speech(events: Iterable[Json]) -> Json:
    """The event that ends the sound, with its pieces, each of them base64 of its own."""
    pieces: list[Json] = []
    last: dict[str, Json] = {}
    for event in map(mapping, events):
        if isinstance(event.get("audio"), str):
            pieces.append(event["audio"])
        if word(event, "type") == "speech.audio.done" or "error" in event:
            last.update(event)
    return {**last, "pieces": pieces}


def sound(content_type: str, received: bytes, size: int) -> Json:
    """An answer that is sound: nothing of it is decoded."""
    kind = content_type.partition(";")[0].strip().lower()
    if "json" in kind or kind in _OTHER_THAN_JSON:
        return None
    if not kind.startswith("audio/"):
        kind = ""  # an octet stream, say: its beginning may tell more
    is_whole = len(received) >= size
    data = received if is_whole else None
    sent = max(size, len(received))
    return {"sound": {"content_type": kind or None, "data": data, "size": sent}} if sent else None


def speech_usage(body: Json, answer: Json, known: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """The characters that were spoken, which are billed where no tokens are."""
    payload = mapping(body)
    text = payload.get("input")
    if semconv.USAGE_INPUT_TOKENS in known or not isinstance(text, str) or not text:
        return {}
    if is_billed_by_tokens(payload.get("model")):
        return {}
    return {semconv.USAGE_SPEECH_CHARACTERS: len(text)}


TRANSCRIPTION: Final = WireFormat(
    provider="openai",
    operation="transcription",
    endings=("transcriptions",),
    matches=partial(_matches, "/audio/transcriptions"),
    request=request,
    response=response,
    fold=fold,
    takes_form=True,
    plain=plain_text,
)
TRANSLATION: Final = replace(
    TRANSCRIPTION,
    operation="translation",
    endings=("translations",),
    matches=partial(_matches, "/audio/translations"),
)
SPEECH: Final = WireFormat(
    provider="openai",
    operation="speech",
    endings=("speech",),
    matches=_matches_speech,
    request=request_speech,
    response=response_speech,
    fold=fold_speech,
    plain=sound,
    piece_usage=speech_usage,
)
