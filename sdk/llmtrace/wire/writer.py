"""Writer's own APIs: applications and their jobs, questions to knowledge graphs, vision, translation.

Its chat and completions are OpenAI's. None of these tells tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv

from . import background_responses, message_parts
from .finish_reasons import finish_reason
from .format import Json, Translation, WireFormat, between, either, items, mapping, put_text, word

_JOBS: Final = "/applications/jobs/"
#: The field by which each path is told from another API's, by the last word of the path.
_FIELDS: Final = {
    "question": b'"graph_ids"',
    "vision": b'"variables"',
    "translation": b'"source_language_code"',
    "jobs": b'"inputs"',
}


def matches(path: str, body: bytes) -> bool:
    """By the last word of the path and a field that every request there has."""
    last = path.rpartition("/")[2]
    if last == "jobs" and "/v1/applications/" not in path:
        return False
    return _FIELDS.get(last, b"\0") in body


def matches_application(path: str, body: bytes) -> bool:
    """By the place of the application's id in the path, and the field that every request has."""
    return "/v1/applications/" in path and b'"inputs"' in body


def matches_job(path: str, body: bytes) -> bool:
    """A job is fetched by its id alone."""
    return _JOBS in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each input of an application is a message."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_text(attributes, semconv.AGENT_ID, between(path, "/applications/"))
    graphs = [graph for graph in items(payload.get("graph_ids")) if isinstance(graph, str)]
    put_text(attributes, semconv.DATA_SOURCE_ID, ",".join(graphs))
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        asked = either(payload, "question", "prompt", "text")
        texts = [asked] if isinstance(asked, str) else []
        for app_input in map(mapping, items(payload.get("inputs"))):
            texts.append("\n".join(text for text in items(app_input.get("value")) if isinstance(text, str)))
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(text)]) for text in texts
        ]
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """All that a fetch says is the job's id."""
    translation = Translation()
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, _JOBS))
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a job that is not over has a status and no answer."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    status = payload.get("status")
    if isinstance(status, str):
        put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
        put_text(attributes, semconv.RESPONSE_STATUS, status)
        put_text(attributes, semconv.AGENT_ID, payload.get("application_id"))
        if background_responses.is_pending(status):
            attributes[semconv.OPERATION_NAME] = background_responses.QUEUED
            return translation
        attributes[semconv.OPERATION_NAME] = "chat"
    answer = either(payload, "suggestion", "answer", "data")
    if isinstance(answer, dict):
        answer = answer.get("suggestion")
    if answer is not None or status is not None:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(status or "stop")]
    if content and answer is not None:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(answer)])
        ]
    return translation


def response_fetch(body: Json, content: bool) -> Translation:
    """The same, but that an unfinished job is a fetch."""
    translation = response(body, content)
    if translation.attributes.get(semconv.OPERATION_NAME) == background_responses.QUEUED:
        del translation.attributes[semconv.OPERATION_NAME]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the answer: pieces of an application's text, or a graph's answer as it grows."""
    body: dict[str, Any] = {}
    words: list[str] = []
    for event in map(mapping, events):
        if "delta" in event:
            words.append(word(mapping(event["delta"]), "content"))
        elif isinstance(event.get("data"), dict):
            answer = word(event["data"], "answer")
            # Each chunk is a piece, or all there is so far.
            if answer and words and answer.startswith("".join(words)):
                words.clear()
            words.append(answer)
        elif event.get("error"):
            body["error"] = event["error"]
    if words:
        body["answer"] = "".join(words)
    return body


FORMAT: Final = WireFormat(
    provider="writer",
    operation="chat",
    endings=("question", "vision", "translation", "jobs"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    fetched_again=True,
)
APPLICATION: Final = replace(FORMAT, endings=(), words=("applications",), matches=matches_application)
FETCH: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    endings=("jobs",),
    method="GET",
    matches=matches_job,
    request=request_fetch,
    response=response_fetch,
)
