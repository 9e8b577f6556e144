"""OpenAI's videos: `POST …/videos`, `…/videos/{id}/remix`, then `GET …/videos/{id}` until it is finished.

The call that returns it finished counts, see `background_responses`; it does so too where the request, which
may be a form, was not read. Billed by the second.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmtrace import semconv
from llmtrace.wire import background_responses, message_parts
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import Json, Translation, WireFormat, between, mapping, put_float, put_text, whole

from .shared import put_model


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    return b'"prompt"' in body and (path.endswith("/videos") or "/videos/" in path)


def matches_fetch(path: str, body: bytes) -> bool:
    """By the form of the id, since many an API has videos."""
    return (between(path, "/videos/") or "").startswith("video_")


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    translation.attributes[semconv.OUTPUT_TYPE] = "video"
    put_model(translation.attributes, payload, path)
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(payload.get("prompt"))])
        ]
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """All that a fetch says is the id."""
    translation = Translation()
    translation.attributes[semconv.OUTPUT_TYPE] = "video"
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, "/videos/"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """A video to attributes; one that is not finished has a status and no usage."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    status = payload.get("status")
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_text(attributes, semconv.RESPONSE_STATUS, status)
    if background_responses.is_pending(status):
        attributes[semconv.OPERATION_NAME] = background_responses.QUEUED
    elif isinstance(status, str):
        attributes[semconv.OPERATION_NAME] = "generate_content"
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(status)]
        if status == "completed":
            put_float(attributes, semconv.USAGE_VIDEO_SECONDS, _number(payload.get("seconds")))
    return translation


def _number(seconds: Json) -> Json:
    """OpenAI writes the number as a text."""
    return float(seconds) if isinstance(seconds, str) and seconds.isdecimal() else seconds


def response_fetch(body: Json, content: bool) -> Translation:
    """The same; an unfinished one is a fetch."""
    translation = response(body, content)
    attributes = translation.attributes
    if attributes.get(semconv.OPERATION_NAME) == background_responses.QUEUED:
        attributes[semconv.OPERATION_NAME] = background_responses.FETCH
    else:
        put_text(attributes, semconv.REQUEST_MODEL, mapping(body).get("model"))
    return translation


FORMAT: Final = WireFormat(
    provider="openai",
    operation="generate_content",
    endings=("videos", "remix"),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
    fetched_again=True,
)
FETCH: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    endings=("videos",),
    method="GET",
    matches=matches_fetch,
    request=request_fetch,
    response=response_fetch,
)
