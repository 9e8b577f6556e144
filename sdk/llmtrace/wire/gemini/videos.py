"""Google's long jobs of media (Veo): `POST …/models/{model}:predictLongRunning`, then polls until it is done.

Polls are `GET …/models/{model}/operations/{id}`, on Vertex AI `POST …/models/{model}:fetchPredictOperation`.
The call that returns it done counts, see `background_responses`. Billed by the second, which no answer tells.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import background_responses, message_parts
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    count_of,
    items,
    mapping,
    put_int,
    put_text,
    whole,
    word,
)

from .generate_content import put_model


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return b'"instances"' in body


def matches_operation(path: str, body: bytes) -> bool:
    """The operation of a model; others are no media's."""
    return "/models/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OUTPUT_TYPE] = "video"
    put_model(attributes, path)
    count = mapping(payload.get("parameters")).get("sampleCount")
    if count != 1:
        put_int(attributes, semconv.REQUEST_CHOICE_COUNT, count)
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(instance.get("prompt"))])
            for instance in map(mapping, items(payload.get("instances")))
        ]
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """The path names the model, and the operation where the body does not."""
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OUTPUT_TYPE] = "video"
    put_text(attributes, semconv.REQUEST_MODEL, _model(path))
    named = mapping(body).get("operationName")
    put_text(attributes, semconv.RESPONSE_ID, _id(named if isinstance(named, str) else path))
    return translation


def _model(path: str) -> str:
    return (between(path, "/models/") or "").partition(":")[0]


def _id(name: str) -> str:
    return name.rpartition("/operations/")[2].partition(":")[0]


def response(body: Json, content: bool) -> Translation:
    """An operation to attributes; without `done` it has no answer yet."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    name = word(payload, "name")
    if not name:
        return translation
    put_text(attributes, semconv.RESPONSE_ID, _id(name))
    if payload.get("done") is not True:
        attributes[semconv.RESPONSE_STATUS] = "in_progress"
        attributes[semconv.OPERATION_NAME] = background_responses.QUEUED
        return translation
    failed = bool(payload.get("error"))
    attributes[semconv.RESPONSE_STATUS] = "failed" if failed else "completed"
    attributes[semconv.OPERATION_NAME] = "generate_content"
    answer = mapping(payload.get("response"))
    videos = _videos(answer)
    filtered = count_of(mapping(answer.get("generateVideoResponse")).get("raiMediaFilteredCount"))
    reason = "content_filter" if filtered and not videos else "stop"
    attributes[semconv.RESPONSE_FINISH_REASONS] = ["error" if failed else reason]
    if content and videos:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [_part(video)]) for video in videos
        ]
    return translation


def _videos(answer: Any) -> list[Any]:
    """Those of the Gemini API, else those of Vertex AI."""
    samples = items(mapping(answer.get("generateVideoResponse")).get("generatedSamples"))
    return [mapping(mapping(sample).get("video")) for sample in samples] or [
        mapping(video) for video in items(answer.get("videos"))
    ]


def _part(video: Any) -> Json:
    address = video.get("uri") or video.get("gcsUri")
    if address:
        return message_parts.uri("video", address, video.get("mimeType"))
    return message_parts.blob("video", video.get("mimeType"), video.get("bytesBase64Encoded"))


def response_fetch(body: Json, content: bool) -> Translation:
    """The same; an unfinished one is a fetch."""
    translation = response(body, content)
    if translation.attributes.get(semconv.OPERATION_NAME) == background_responses.QUEUED:
        translation.attributes[semconv.OPERATION_NAME] = background_responses.FETCH
    return translation


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation="generate_content",
    endings=("predictLongRunning",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
    fetched_again=True,
)
OPERATION: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    endings=("operations",),
    method="GET",
    matches=matches_operation,
    request=request_fetch,
    response=response_fetch,
)
POLL: Final = replace(
    OPERATION,
    endings=("fetchPredictOperation",),
    method="POST",
    matches=lambda path, body: b'"operationName"' in body,
)
