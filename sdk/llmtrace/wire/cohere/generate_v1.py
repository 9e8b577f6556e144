"""Cohere's first APIs of texts: `POST …/v1/generate` with a `prompt`, `…/v1/summarize` with a `text`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    either,
    index_or_id,
    items,
    mapping,
    put_int,
    put_text,
    word,
)
from llmtrace.wire.openai.completions import inputs
from llmtrace.wire.request_params import put_request_params

from .chat import put_usage


def matches(path: str, body: bytes) -> bool:
    """By the version in the path and the one field every request has."""
    return path.endswith("/v1/generate") and b'"prompt"' in body


def matches_summary(path: str, body: bytes) -> bool:
    """The same of summaries."""
    return path.endswith("/v1/summarize") and b'"text"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_request_params(attributes, payload)
    if payload.get("num_generations") != 1:
        put_int(attributes, semconv.REQUEST_CHOICE_COUNT, payload.get("num_generations"))
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(either(payload, "prompt", "text"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a summary is one text without a reason."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_usage(attributes, mapping(payload.get("meta")))
    answers = [mapping(answer) for answer in items(payload.get("generations"))]
    reasons = [finish_reason(answer["finish_reason"]) for answer in answers if "finish_reason" in answer]
    if reasons:
        attributes[semconv.RESPONSE_FINISH_REASONS] = reasons
    texts = [answer.get("text") for answer in answers] or [payload.get("summary")]
    if content and texts != [None]:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(text)]) for text in texts
        ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Events to the response, which the last of them repeats whole."""
    body: dict[str, Any] = {}
    words: dict[int | str, list[str]] = {}
    reason: Json = None
    for event in map(mapping, events):
        kind = word(event, "event_type")
        if kind == "text-generation":
            words.setdefault(index_or_id(event.get("index")), []).append(word(event, "text"))
        elif kind == "stream-end":
            reason = event.get("finish_reason")
            body.update(mapping(event.get("response")))
        elif kind == "stream-error":
            body["error"] = event.get("err")
        elif event.get("error"):
            body["error"] = event["error"]
    answers = [mapping(answer) for answer in items(body.get("generations"))]
    answers = answers or [{"text": "".join(pieces)} for pieces in words.values()]
    if answers:
        body["generations"] = [{"finish_reason": reason, **answer} for answer in answers]
    return body


FORMAT: Final = WireFormat(
    provider="cohere",
    operation="text_completion",
    endings=("generate",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)
SUMMARY: Final = replace(FORMAT, endings=("summarize",), matches=matches_summary)
