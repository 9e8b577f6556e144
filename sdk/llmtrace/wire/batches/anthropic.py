"""Anthropic's batches of messages: `POST …/messages/batches`, `GET …/messages/batches/{id}`, and the results
as a file, `GET …/messages/batches/{id}/results`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmtrace import semconv
from llmtrace.wire.batch_results import CREATE, FETCH, FETCH_RESULTS, BatchFormat, BatchResult
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    count_of,
    mapping,
    put_text,
    whole,
    word,
)
from llmtrace.wire.provider_errors import provider_error

from .openai import nothing, put_end

_COUNTS: Final = ("processing", "succeeded", "errored", "canceled", "expired")


def _creates(path: str, body: bytes) -> bool:
    return path.endswith("/messages/batches") and b'"requests"' in body


def _fetches(path: str, body: bytes) -> bool:
    return path.rpartition("/")[0].endswith("/messages/batches")


def _downloads(path: str, body: bytes) -> bool:
    return "/messages/batches/" in path and path.endswith("/results")


def request(body: Json, path: str, content: bool) -> Translation:
    """The path says which batch."""
    translation = Translation()
    put_text(translation.attributes, semconv.BATCH_ID, between(path, "/batches/"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """A batch to attributes, nothing where it is none."""
    payload = mapping(body)
    translation = Translation()
    if "processing_status" not in payload:
        return translation
    attributes = translation.attributes
    put_text(attributes, semconv.BATCH_ID, payload.get("id"))
    put_text(attributes, semconv.BATCH_STATUS, payload.get("processing_status"))
    attributes[semconv.BATCH_ENDPOINT] = "/v1/messages"
    if counts := mapping(payload.get("request_counts")):
        attributes[semconv.BATCH_REQUESTS] = sum(count_of(counts.get(name)) for name in _COUNTS)
        attributes[semconv.BATCH_SUCCEEDED] = count_of(counts.get("succeeded"))
        attributes[semconv.BATCH_FAILED] = sum(count_of(counts.get(name)) for name in _COUNTS[2:])
    put_end(attributes, payload.get("ended_at"))
    return translation


def result(line: Json) -> BatchResult | None:
    """A line of the results."""
    payload = mapping(line)
    outcome = mapping(payload.get("result"))
    custom_id, kind = payload.get("custom_id"), word(outcome, "type")
    if not isinstance(custom_id, str) or not kind:
        return None
    error = None
    if kind != "succeeded":
        detail = outcome.get("error")
        error_type, message = provider_error(mapping(mapping(detail).get("error")) and detail, failed=True)
        error = error_type or kind, message or ""
    return BatchResult(custom_id, "/v1/messages", outcome.get("message"), error=error)


FORMAT: Final = WireFormat(
    provider="anthropic",
    operation=CREATE,
    endings=("batches",),
    matches=_creates,
    request=request,
    response=response,
    fold=whole,
    batch=BatchFormat(),
)
FETCH_FORMAT: Final = replace(FORMAT, operation=FETCH, matches=_fetches, method="GET")
RESULTS: Final = replace(
    FORMAT,
    operation=FETCH_RESULTS,
    endings=("results",),
    matches=_downloads,
    response=nothing,
    method="GET",
    batch=BatchFormat(result=result, is_file=True),
)
