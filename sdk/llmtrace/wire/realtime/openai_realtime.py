"""OpenAI Realtime: responses, and transcriptions of what the user said, to attributes.

A response is one of the Responses API but for a few names, and is translated as such.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    either,
    items,
    mapping,
    put_int,
    put_text,
    whole,
    word,
)
from llmtrace.wire.openai import responses, responses_stream
from llmtrace.wire.openai.shared import put_newer_usage
from llmtrace.wire.request_params import put_request_params

from .realtime_messages import messages, transcribed
from .session_frames import Frames

_SESSIONS: Final = (
    "session.created",
    "session.updated",
    "transcription_session.created",
    "transcription_session.updated",
)
_PIECES: Final = {
    "response.text": "response.output_text",
    "response.audio_transcript": "response.output_text",
    "response.output_audio_transcript": "response.output_text",
}
"""What a piece of a response is called here → in the Responses API."""
_LONGEST_SECONDS: Final = 10**6
_AUDIO: Final = frozenset({"response.audio", "response.output_audio"})


def request(body: Json, path: str, content: bool) -> Translation:
    """The messages that led to a response to attributes; see `session_frames`."""
    frames = Frames(body)
    translation = Translation()
    attributes = translation.attributes
    session = mapping(frames.last(*_SESSIONS).get("session"))
    asked = mapping(frames.last("response.create").get("response"))
    config = {**session, **asked}
    attributes[semconv.OPENAI_API_TYPE] = "realtime"
    model = either(frames.query, "deployment", "model") or session.get("model")
    put_text(attributes, semconv.REQUEST_MODEL, model)
    put_text(attributes, semconv.RESPONSE_MODEL, session.get("model"))
    put_text(attributes, semconv.CONVERSATION_ID, session.get("id"))
    put_request_params(attributes, config)
    most = either(config, "max_output_tokens", "max_response_output_tokens")
    put_int(attributes, semconv.REQUEST_MAX_TOKENS, most)
    put_text(attributes, semconv.REQUEST_REASONING_LEVEL, mapping(config.get("reasoning")).get("effort"))
    modalities = items(either(asked, "output_modalities", "modalities")) or items(
        either(session, "output_modalities", "modalities")
    )
    if modalities:
        attributes[semconv.OUTPUT_TYPE] = "speech" if "audio" in modalities else "text"
    spoken = mapping(mapping(asked.get("audio")).get("output")) or mapping(
        mapping(session.get("audio")).get("output")
    )
    put_text(attributes, semconv.REQUEST_VOICE, either(spoken, "voice") or config.get("voice"))
    if content:
        if instructions := message_parts.instructions(config.get("instructions")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        if led_to_it := messages(frames, session, asked):
            translation.content[semconv.INPUT_MESSAGES] = led_to_it
        if tools := [responses.tool_definition(mapping(tool)) for tool in items(config.get("tools"))]:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """A response's last event, or what `fold` made of its pieces, to attributes."""
    payload = mapping(body)
    translation = responses.response(
        {
            **payload,
            "usage": usage(payload.get("usage")),
            "output": [transcribed(output_item) for output_item in items(payload.get("output"))],
            "incomplete_details": mapping(payload.get("status_details")),
            "model": None,
        },
        content,
    )
    put_cached_media(translation, mapping(payload.get("usage")))
    if payload.get("status") == "cancelled":  # the user spoke, or the program said so: nothing failed
        translation.attributes[semconv.RESPONSE_FINISH_REASONS] = ["cancelled"]
    return translation


def usage(value: Json) -> Json:
    """Usage under the names that the Responses API has for its details."""
    counts = mapping(value)
    return {
        **counts,
        "input_tokens_details": either(counts, "input_token_details", "input_tokens_details"),
        "output_tokens_details": either(counts, "output_token_details", "output_tokens_details"),
    }


def put_cached_media(translation: Translation, counts: Any) -> None:
    """Which of the cached tokens were audio, and which images."""
    details = mapping(either(counts, "input_token_details", "input_tokens_details"))
    cached = mapping(details.get("cached_tokens_details"))
    put_int(translation.attributes, semconv.USAGE_CACHE_READ_AUDIO, cached.get("audio_tokens") or None)
    put_int(translation.attributes, semconv.USAGE_CACHE_READ_IMAGE, cached.get("image_tokens") or None)


def fold(events: Iterable[Json]) -> Json:
    """The response of the last event; of one that was torn, what is known of it."""
    pieces: list[Json] = []
    for event in map(mapping, events):
        kind = word(event, "type")
        if kind == "response.done":
            return event.get("response")
        stem, _, step = kind.rpartition(".")
        if stem not in _AUDIO:
            pieces.append({**event, "type": f"{_PIECES[stem]}.{step}"} if stem in _PIECES else event)
    return responses_stream.fold(pieces)


def failure(body: Json) -> tuple[str | None, str | None]:
    """Of a response that failed, why."""
    payload = mapping(body)
    if payload.get("status") != "failed":
        return None, None
    error = mapping(mapping(payload.get("status_details")).get("error"))
    kind = error.get("code") or error.get("type") or "failed"
    message = error.get("message")
    return str(kind), message if isinstance(message, str) else None


def request_transcription(body: Json, path: str, content: bool) -> Translation:
    """The session that a transcription was made in."""
    frames = Frames(body)
    translation = Translation()
    session = mapping(frames.last(*_SESSIONS).get("session"))
    model = mapping(mapping(mapping(session.get("audio")).get("input")).get("transcription")).get("model")
    model = model or mapping(session.get("input_audio_transcription")).get("model")
    translation.attributes[semconv.OPENAI_API_TYPE] = "realtime"
    put_text(translation.attributes, semconv.REQUEST_MODEL, model)
    put_text(translation.attributes, semconv.CONVERSATION_ID, session.get("id"))
    translation.attributes[semconv.OUTPUT_TYPE] = "text"
    return translation


def response_transcription(body: Json, content: bool) -> Translation:
    """What was said, and what its transcription is billed by: tokens, or seconds."""
    event = mapping(body)
    translation = Translation()
    item_id = word(event, "item_id")
    if item_id:
        translation.attributes[semconv.RESPONSE_ID] = f"{item_id}:{event.get('content_index') or 0}"
    counts = mapping(event.get("usage"))
    put_newer_usage(translation.attributes, usage(counts))
    seconds = counts.get("seconds")
    if isinstance(seconds, int | float) and 0 <= seconds < _LONGEST_SECONDS:
        translation.attributes[semconv.USAGE_AUDIO_INPUT_SECONDS] = math.ceil(seconds)
    translation.attributes[semconv.RESPONSE_FINISH_REASONS] = ["stop"]
    if content:
        spoken = message_parts.text(event.get("transcript"))
        translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", [spoken])]
    return translation


FORMAT: Final = WireFormat(
    provider="openai",
    operation="chat",
    endings=(),
    matches=lambda path, body: False,
    request=request,
    response=response,
    fold=fold,
    method="GET",
    fetched_again=True,
    failure=failure,
    estimates_usage=False,
)
TRANSCRIPTION: Final = replace(
    FORMAT,
    operation="transcription",
    request=request_transcription,
    response=response_transcription,
    fold=whole,
)
