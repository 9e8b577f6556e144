"""Gemini Live (`BidiGenerateContent`), with an API key or on Vertex AI: a turn of the model is a response.

Its messages have no type and no ids: which field they have says what they are, and one turn follows another.
A turn that calls tools ends with the program's answer to them, which begins the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, either, items, mapping, put_text, word
from llmtrace.wire.gemini import contents, generate_content

from .dialect import NOTHING, Dialect, Signal, base64_size
from .session_frames import MEDIA, Frames

_FIELD: Final = re.compile(rb'\{\s*"(\w+)"\s*:')
_TURN_COMPLETE: Final = re.compile(rb'"turn_?[cC]omplete"\s*:\s*true')
_OUTPUT: Final = (b'"modelTurn"', b'"model_turn"')
_REMARKS: Final = (
    b'"outputTranscription"',
    b'"generationComplete"',
    b'"interrupted"',
    b'"groundingMetadata"',
)
_HEARD: Final = b'"inputTranscription"'
_USAGE: Final = b'"usageMetadata"'
_DATA: Final = re.compile(rb'"data"\s*:\s*"')
_WORDS: Final = (b'"text"', b'"outputTranscription"')
_LONG: Final = 4096
_END: Final = 2048
_PICTURES: Final = (b"image/", b"video/")


def matches(path: str) -> bool:
    """By the name of the method, with or without a constrained token."""
    return path.endswith(("BidiGenerateContent", "BidiGenerateContentConstrained"))


def sent(message: bytes) -> Signal:
    """What the program sends."""
    match = _FIELD.match(message)
    field = match[1].lower().replace(b"_", b"") if match is not None else b""
    if field == b"setup":
        return Signal("session")
    if field == b"clientcontent":
        return Signal("asked" if _TURN_COMPLETE.search(message) else "input")
    if field == b"toolresponse":
        return Signal("asked")
    if field != b"realtimeinput":
        return NOTHING
    size = base64_size(message, _DATA)
    if size:
        picture = any(mark in message[:_END] or mark in message[-_END:] for mark in _PICTURES)
        return Signal("media", "", size, "image" if picture else "audio")
    return Signal("asked") if b'"text"' in message else NOTHING


def received(message: bytes) -> Signal:
    """What the server sends. Of a long message, which holds sound, the ends say what else is in it."""
    ends = message if len(message) <= _LONG else message[:_END] + message[-_END:]
    has_usage = _USAGE in ends
    if b'"toolCall"' in ends:  # the answer of the program begins another response
        return Signal("over", has_usage=has_usage)
    if b'"serverContent"' in ends:
        if _TURN_COMPLETE.search(ends) is not None:
            return Signal("over", has_usage=has_usage)
        if any(mark in ends for mark in _OUTPUT):
            is_sound = b'"inlineData"' in ends and not (has_usage or any(mark in ends for mark in _WORDS))
            return Signal("output" if is_sound else "piece", has_usage=has_usage)
        if has_usage or any(mark in ends for mark in _REMARKS):
            return Signal("remark", has_usage=has_usage)
        return Signal("input") if _HEARD in ends else NOTHING
    if has_usage:
        return Signal("usage", has_usage=True)
    return Signal("session") if b'"setupComplete"' in ends else NOTHING


def request(body: Json, path: str, content: bool) -> Translation:
    """The messages that led to a turn to attributes."""
    frames = Frames(body)
    setup: Any = {}
    for message in frames.messages:
        setup = mapping(message.get("setup")) or setup
    translation = Translation()
    attributes = translation.attributes
    model = setup.get("model")
    if isinstance(model, str):
        put_text(attributes, semconv.REQUEST_MODEL, model.rpartition("/")[2])
    config = mapping(either(setup, "generationConfig", "generation_config"))
    generate_content.put_config(attributes, config)
    modalities = items(either(config, "responseModalities", "response_modalities"))
    if modalities:
        spoken = any(str(modality).upper() == "AUDIO" for modality in modalities)
        attributes[semconv.OUTPUT_TYPE] = "speech" if spoken else "text"
    speech = mapping(either(config, "speechConfig", "speech_config"))
    voice = mapping(either(speech, "voiceConfig", "voice_config"))
    voice = mapping(either(voice, "prebuiltVoiceConfig", "prebuilt_voice_config"))
    put_text(attributes, semconv.REQUEST_VOICE, either(voice, "voiceName", "voice_name"))
    for message in frames.messages:
        complete = mapping(either(message, "setupComplete", "setup_complete"))
        put_text(attributes, semconv.CONVERSATION_ID, either(complete, "sessionId", "session_id"))
    if content:
        instruction = mapping(either(setup, "systemInstruction", "system_instruction"))
        if instructions := message_parts.instructions(
            [mapping(part).get("text") for part in items(instruction.get("parts"))]
        ):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        if led_to_it := _messages(frames):
            translation.content[semconv.INPUT_MESSAGES] = led_to_it
        if tools := contents.tools(setup.get("tools")):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def _messages(frames: Frames) -> list[Json]:
    collected: list[Json] = []
    heard: list[str] = []
    for message in frames.messages:
        if word(message, "type") == MEDIA:
            part = {"type": "blob", "modality": message.get("modality"), "size": message.get("size")}
            collected.append(message_parts.message("user", [part]))
        turns = mapping(either(message, "client_content", "clientContent")).get("turns")
        collected.extend(
            contents.message(turn) for turn in (turns if isinstance(turns, list) else [turns]) if turn
        )
        answer = mapping(either(message, "tool_response", "toolResponse"))
        if answers := items(either(answer, "functionResponses", "function_responses")):
            parts = [{"functionResponse": tool_answer} for tool_answer in answers]
            collected.append(contents.message({"role": "user", "parts": parts}))
        text = mapping(either(message, "realtime_input", "realtimeInput")).get("text")
        if isinstance(text, str):
            collected.append(message_parts.message("user", [message_parts.text(text)]))
        server = mapping(message.get("serverContent"))
        transcript = mapping(server.get("inputTranscription")).get("text")
        if isinstance(transcript, str):
            heard.append(transcript)
    if heard:
        collected.append(message_parts.message("user", [message_parts.text("".join(heard).strip())]))
    return collected


def fold(events: Iterable[Json]) -> Json:
    """A turn's messages to the answer that the same call would have had over HTTP."""
    parts: list[Json] = []
    transcript: list[str] = []
    usage: Any = {}
    candidate: dict[str, Any] = {}
    for event in map(mapping, events):
        server = mapping(event.get("serverContent"))
        parts.extend(items(mapping(server.get("modelTurn")).get("parts")))
        calls = items(mapping(event.get("toolCall")).get("functionCalls"))
        parts.extend({"functionCall": call} for call in calls)
        text = mapping(server.get("outputTranscription")).get("text")
        if isinstance(text, str):
            transcript.append(text)
        usage = mapping(event.get("usageMetadata")) or usage
        if grounding := mapping(server.get("groundingMetadata")):
            candidate["groundingMetadata"] = grounding
        if server.get("interrupted") is True:
            candidate["finishReason"] = "interrupted"
        if server.get("turnComplete") is True or calls:
            candidate.setdefault("finishReason", "tool_call" if calls else "STOP")
    words = [{"text": "".join(transcript).strip()}] if transcript else []
    heard_only = [part for part in map(mapping, parts) if not either(part, "inlineData", "inline_data")]
    return {
        "candidates": [{**candidate, "content": {"role": "model", "parts": [*words, *heard_only]}}],
        "usageMetadata": {
            **usage,
            "candidatesTokenCount": either(usage, "candidatesTokenCount", "responseTokenCount"),
            "candidatesTokensDetails": either(usage, "candidatesTokensDetails", "responseTokensDetails"),
        },
    }


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation="generate_content",
    endings=(),
    matches=lambda path, body: False,
    request=request,
    response=generate_content.response,
    fold=fold,
    method="GET",
    estimates_usage=False,
)
LIVE: Final = Dialect(
    matches=matches,
    sent=sent,
    received=received,
    format=FORMAT,
    output=b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"-"}}]}}}',
    implicit=True,
    usage_apart=True,
)
