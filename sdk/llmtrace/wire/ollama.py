"""Ollama's own API: `POST …/api/chat`, `/api/generate` and `/api/embed`.

The first two stream lines of JSON, unless told not to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from . import message_parts
from .finish_reasons import finish_reason
from .format import Json, Translation, WireFormat, items, mapping, put_int, put_text, whole
from .framing.stream_joiner import StreamJoiner
from .openai import chat_messages as messages
from .openai.completions import inputs
from .request_params import put_settings

_TEXTS: Final = ("content", "response", "thinking")


def matches_chat(path: str, body: bytes) -> bool:
    """By the end of the path and the fields every request has."""
    return path.endswith("/api/chat") and b'"messages"' in body and b'"model"' in body


def matches_generate(path: str, body: bytes) -> bool:
    """By the end of the path and the field every request has; without a prompt it only loads the model."""
    return path.endswith("/api/generate") and b'"model"' in body and b'"prompt"' in body


def matches_embed(path: str, body: bytes) -> bool:
    """The present and the former way."""
    return (path.endswith("/api/embed") and b'"input"' in body) or (
        path.endswith("/api/embeddings") and b'"prompt"' in body
    )


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body of a chat or a completion to attributes."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    _put_settings(put, sent)
    if sent.get("stream") is not False:
        put[semconv.REQUEST_STREAM] = True
    if content:
        if told := message_parts.instructions(sent.get("system")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = told
        given = [_message(mapping(each)) for each in items(sent.get("messages"))]
        if "messages" not in sent:
            given = [_message({"role": "user", "content": sent.get("prompt"), "images": sent.get("images")})]
        translation.content[semconv.INPUT_MESSAGES] = given
        if tools := messages.tools(sent):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def request_embed(body: Json, path: str, content: bool) -> Translation:
    """Request body of an embedding to attributes."""
    sent = mapping(body)
    translation = Translation()
    _put_settings(translation.attributes, sent)
    put_int(translation.attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, sent.get("dimensions"))
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(sent.get("input", sent.get("prompt")))
    return translation


def _put_settings(put: dict[str, AttributeValue], sent: Any) -> None:
    options = mapping(sent.get("options"))
    put_text(put, semconv.REQUEST_MODEL, sent.get("model"))
    put_settings(put, options)
    put_text(put, semconv.REQUEST_REASONING_LEVEL, sent.get("think"))
    if sent.get("format"):
        put[semconv.OUTPUT_TYPE] = "json"


def response(body: Json, content: bool) -> Translation:
    """Response body, or the lines of a stream put together, to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    put_int(put, semconv.USAGE_INPUT_TOKENS, received.get("prompt_eval_count"))
    put_int(put, semconv.USAGE_OUTPUT_TOKENS, received.get("eval_count"))
    message = mapping(received.get("message"))
    if "response" in received:
        thought = received.get("thinking")
        message = {"content": received["response"], "thinking": thought}
    if "done" in received:
        reason = received.get("done_reason") or ("stop" if received["done"] is True else None)
        called = reason == "stop" and message.get("tool_calls")
        put[semconv.RESPONSE_FINISH_REASONS] = ["tool_call" if called else finish_reason(reason)]
    if content and message:
        translation.content[semconv.OUTPUT_MESSAGES] = [_message({"role": "assistant", **message})]
    return translation


def response_embed(body: Json, content: bool) -> Translation:
    """Response body of an embedding to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    put_int(put, semconv.USAGE_INPUT_TOKENS, received.get("prompt_eval_count"))
    vectors = items(received.get("embeddings")) or [received.get("embedding")]
    put_int(put, semconv.EMBEDDINGS_DIMENSION_COUNT, len(items(vectors[0])) or None)
    return translation


def _message(sent: Any) -> Json:
    made = messages.message({**sent, "reasoning": sent.get("thinking")})
    if sent.get("role") == "tool":
        return {**made, "name": sent["tool_name"]} if sent.get("tool_name") else made
    made["parts"].extend(message_parts.blob("image", None, each) for each in items(sent.get("images")))
    return made


def fold(events: Iterable[Json]) -> Json:
    """Lines to the response they add up to: the last one has the counts."""
    body: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    calls: list[Json] = []
    chat = False
    for event in map(mapping, events):
        body.update(event)
        message = event.get("message")
        chat = chat or isinstance(message, dict)
        said = mapping(message) if isinstance(message, dict) else event
        calls.extend(items(said.get("tool_calls")))
        for key in _TEXTS:
            if isinstance(said.get(key), str):
                texts.setdefault(key, []).append(said[key])
    joined: dict[str, Any] = {key: "".join(pieces) for key, pieces in texts.items()}
    if chat:
        body["message"] = {**joined, "tool_calls": calls}
    else:
        body.update(joined)
    return body


def _sole_text(event: Json) -> Json:
    """See `runs.Runs`."""
    told = mapping(event)
    said = mapping(told.get("message")) or told
    given = [said[key] for key in _TEXTS if said.get(key)]
    return given[0] if len(given) == 1 and not said.get("tool_calls") else None


FORMAT: Final = WireFormat(
    provider="ollama",
    operation="chat",
    endings=("chat",),
    matches=matches_chat,
    request=request,
    response=response,
    fold=fold,
    joined=StreamJoiner(
        fields=_TEXTS,
        sole_text=_sole_text,
        quieted=partial(re.compile(rb'"created_at":"[^"\\]*",').sub, b""),
        line=b"",
    ).joined,
)
GENERATE: Final = replace(
    FORMAT, operation="text_completion", endings=("generate",), matches=matches_generate
)
EMBED: Final = replace(
    FORMAT,
    operation="embeddings",
    endings=("embed", "embeddings"),
    matches=matches_embed,
    request=request_embed,
    response=response_embed,
    fold=whole,
    joined=None,
)
