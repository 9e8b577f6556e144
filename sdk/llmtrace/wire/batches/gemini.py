"""Gemini's batches: `POST …/models/{model}:batchGenerateContent` and `:asyncBatchEmbedContent`.

The results of small ones are in the answer to a poll (see `polls`), those of others in a file,
`GET …/files/{id}:download`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire.batch_results import CREATE, FETCH_RESULTS, BatchFormat, BatchResult
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
from llmtrace.wire.gemini.generate_content import put_model
from llmtrace.wire.provider_errors import provider_error

from .openai import nothing, put_end

_INLINED: Final = ("inlinedResponses", "inlinedEmbedContentResponses")
_EMBEDS: Final = "/v1beta/models/-:embedContent"
_GENERATES: Final = "/v1beta/models/-:generateContent"


def _creates(path: str, body: bytes) -> bool:
    return path.endswith((":batchGenerateContent", ":asyncBatchEmbedContent"))


def _downloads(path: str, body: bytes) -> bool:
    return path.endswith(":download") and "/files/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """The path says which model, batch or file."""
    translation = Translation()
    attributes = translation.attributes
    put_model(attributes, path)
    put_text(attributes, semconv.BATCH_ID, between(path, "/batches/"))
    put_text(attributes, semconv.BATCH_OUTPUT_FILE, between(path, "/files/", ":"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """An operation to attributes, nothing where it is no batch's; the batch is its metadata."""
    payload = mapping(body)
    batch = mapping(payload.get("metadata"))
    translation = Translation()
    if "state" not in batch:
        return translation
    attributes = translation.attributes
    name = word(payload, "name") or word(batch, "name")
    put_text(attributes, semconv.BATCH_ID, name.removeprefix("batches/"))
    put_text(attributes, semconv.REQUEST_MODEL, word(batch, "model").removeprefix("models/"))
    state = word(batch, "state").removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
    put_text(attributes, semconv.BATCH_STATUS, state.lower())
    for output in _outputs(payload):
        put_text(attributes, semconv.BATCH_OUTPUT_FILE, word(output, "responsesFile").removeprefix("files/"))
    stats = mapping(batch.get("batchStats"))
    put_int(attributes, semconv.BATCH_REQUESTS, _number(stats.get("requestCount")))
    put_int(attributes, semconv.BATCH_SUCCEEDED, _number(stats.get("successfulRequestCount")))
    put_int(attributes, semconv.BATCH_FAILED, _number(stats.get("failedRequestCount")))
    put_end(attributes, batch.get("endTime"))
    return translation


def _outputs(payload: Any) -> list[Any]:
    return [mapping(payload.get("response")), mapping(mapping(payload.get("metadata")).get("output"))]


def _number(value: Json) -> Json:
    """Google writes large numbers as text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


def inlined(body: Json) -> list[Json]:
    """The results in an operation, which may have them twice."""
    for output in _outputs(mapping(body)):
        for key in _INLINED:
            if results := items(mapping(output.get(key)).get("inlinedResponses")):
                return results
    return []


def result(line: Json) -> BatchResult | None:
    """A line of the file, or one of the results in the operation."""
    payload = mapping(line)
    if not ("response" in payload or "error" in payload):
        return None
    custom_id = payload.get("key") or mapping(payload.get("metadata")).get("key")
    body = mapping(payload.get("response"))
    error = None
    if payload.get("error") or not body:
        kind, message = provider_error(payload, failed=True)
        error = kind or "_OTHER", message or ""
    path = _GENERATES
    if "embedding" in body:
        path = _EMBEDS
        tokens = _number(either(body, "tokenCount", "token_count"))
        body = {"usageMetadata": {"promptTokenCount": tokens}, **body}
    return BatchResult(custom_id if isinstance(custom_id, str) else "", path, body, error=error)


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation=CREATE,
    endings=("batchGenerateContent", "asyncBatchEmbedContent"),
    matches=_creates,
    request=request,
    response=response,
    fold=whole,
    batch=BatchFormat(),
)
RESULTS: Final = replace(
    FORMAT,
    operation=FETCH_RESULTS,
    endings=("files",),
    matches=_downloads,
    response=nothing,
    method="GET",
    batch=BatchFormat(result=result, is_file=True, marks=(b'"key"', b'"response"')),
)
