"""OpenAI's batches, and of those like it (Azure, Groq, Together; Mistral's jobs).

`POST …/batches` or `…/batch/jobs`, polls (see `polls`), and the results, which are a file:
`GET …/files/{id}/content`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.batch_results import CREATE, FETCH_RESULTS, BatchFormat, BatchResult, moment
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    either,
    items,
    mapping,
    put_int,
    put_text,
    whole,
    word,
)
from llmtrace.wire.provider_errors import provider_error

_ENDS: Final = ("completed_at", "expired_at", "cancelled_at", "failed_at")
# By the `object` of an answer, else by a field that it has: the API that gives such answers.
_BY_OBJECT: Final = {
    "chat.completion": "/v1/chat/completions",
    "response": "/v1/responses",
    "text_completion": "/v1/completions",
}
_BY_START: Final = {"modr-": "/v1/moderations", "embd-": "/v1/embeddings"}


def _creates(path: str, body: bytes) -> bool:
    if path.endswith("/batch/jobs"):
        return b'"endpoint"' in body
    return path.endswith("/batches") and b'"input_file_id"' in body


def _downloads(path: str, body: bytes) -> bool:
    words = path.rsplit("/", 3)
    return len(words) == 4 and words[1] == "files" and words[3] == "content"


def request(body: Json, path: str, content: bool) -> Translation:
    """The path says which batch, or which file."""
    translation = Translation()
    for mark in ("/batches/", "/batch/jobs/"):
        put_text(translation.attributes, semconv.BATCH_ID, between(path, mark))
    put_text(translation.attributes, semconv.BATCH_OUTPUT_FILE, between(path, "/files/"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """A batch to attributes, nothing where it is none; its results have its tokens."""
    payload = mapping(body)
    payload = mapping(payload.get("job")) or payload  # Together
    inputs = [payload.get("input_file_id"), *items(payload.get("input_files"))]
    translation = Translation()
    if payload.get("object") != "batch" and not any(inputs):
        return translation
    attributes = translation.attributes
    put_text(attributes, semconv.BATCH_ID, payload.get("id"))
    put_text(attributes, semconv.BATCH_STATUS, word(payload, "status").lower())
    put_text(attributes, semconv.BATCH_ENDPOINT, payload.get("endpoint"))
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
    put_text(attributes, semconv.BATCH_INPUT_FILE, next(filter(None, inputs), None))
    put_text(attributes, semconv.BATCH_OUTPUT_FILE, either(payload, "output_file_id", "output_file"))
    put_text(attributes, semconv.BATCH_ERROR_FILE, either(payload, "error_file_id", "error_file"))
    counts = mapping(payload.get("request_counts"))
    put_int(attributes, semconv.BATCH_REQUESTS, either(counts, "total") or payload.get("total_requests"))
    succeeded = either(counts, "completed")
    put_int(attributes, semconv.BATCH_SUCCEEDED, payload.get("succeeded_requests", succeeded))
    put_int(attributes, semconv.BATCH_FAILED, payload.get("failed_requests", either(counts, "failed")))
    put_end(attributes, *(payload.get(key) for key in _ENDS))
    return translation


def put_end(attributes: dict[str, AttributeValue], *times: Json) -> None:
    """When it ended, by the first of several fields that is there."""
    ended_at = next(filter(None, map(moment, times)), None)
    if ended_at is not None:
        attributes[semconv.BATCH_ENDED_AT] = ended_at


def nothing(body: Json, content: bool) -> Translation:
    """Of a file that is no answer of a model itself."""
    return Translation()


def result(line: Json) -> BatchResult | None:
    """A line of an output or an error file; the requests of an input file have no `response`."""
    payload = mapping(line)
    custom_id = payload.get("custom_id")
    if not isinstance(custom_id, str) or not ("response" in payload or "error" in payload):
        return None
    response_of_line = mapping(payload.get("response"))
    # Some servers leave the answer's frame out.
    body = response_of_line.get("body", response_of_line)
    status = response_of_line.get("status_code")
    status = status if type(status) is int else None
    error = None
    if payload.get("error") or (status or 0) >= 400 or not body:
        kind, message = provider_error(payload if payload.get("error") else body, failed=True)
        error = kind or str(status or "_OTHER"), message or ""
    request_id = word(response_of_line, "request_id") or word(payload, "id")
    return BatchResult(custom_id, _path(mapping(body)), body, status, request_id, error)


def _path(body: Any) -> str:
    """The API that gives such a body."""
    if path := _BY_OBJECT.get(word(body, "object")):
        return path
    if path := next((path for start, path in _BY_START.items() if word(body, "id").startswith(start)), ""):
        return path
    data = mapping(next(iter(items(body.get("data"))), None))
    if "embedding" in data:
        return "/v1/embeddings"
    return "/v1/images/generations" if "b64_json" in data or "url" in data else ""


FORMAT: Final = WireFormat(
    provider="openai",
    operation=CREATE,
    endings=("batches", "jobs"),
    matches=_creates,
    request=request,
    response=response,
    fold=whole,
    batch=BatchFormat(),
)
RESULTS: Final = replace(
    FORMAT,
    operation=FETCH_RESULTS,
    endings=("content",),
    matches=_downloads,
    response=nothing,
    method="GET",
    batch=BatchFormat(result=result, is_file=True, marks=(b'"custom_id"',)),
)
