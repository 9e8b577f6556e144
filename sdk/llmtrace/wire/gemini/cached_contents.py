"""Gemini's cached contents: `POST …/cachedContents` makes one, `DELETE …/cachedContents/{id}` ends it.

It is billed for as long as it is kept: its tokens times the hours from its making to when it expires. One
that is deleted earlier costs less, which no answer tells: what its making counts is the most that it can
cost. Vertex AI bills the tokens that go into it as input besides.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.format import Json, Translation, WireFormat, between, mapping, put_int, put_text, whole

from . import generate_content

OPERATION: Final = "cache_storage"
DELETE_OPERATION: Final = "delete_cached_content"
_MANY_HOURS: Final = 24 * 3660


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return path.endswith("/cachedContents") and b'"model"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; what is cached is as the prompt of a call has it."""
    payload = mapping(body)
    translation = generate_content.request(payload, path, content and "contents" in payload)
    model = payload.get("model")
    if isinstance(model, str):
        put_text(translation.attributes, semconv.REQUEST_MODEL, model.rpartition("/")[2])
    return translation


def response(body: Json, content: bool) -> Translation:
    """What was made: its name, its tokens, and how long it is kept."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    name = payload.get("name")
    tokens = mapping(payload.get("usageMetadata")).get("totalTokenCount")
    put_text(attributes, semconv.CACHED_CONTENT_NAME, name)
    put_text(attributes, semconv.RESPONSE_ID, name)
    put_text(attributes, semconv.CACHED_CONTENT_EXPIRES, payload.get("expireTime"))
    put_int(attributes, semconv.CACHED_CONTENT_TOKENS, tokens)
    hours = _hours(payload)
    if type(tokens) is int and tokens > 0 and hours > 0:
        attributes[semconv.USAGE_CACHE_STORAGE] = max(1, round(tokens * hours))
    if isinstance(name, str) and name.startswith("projects/"):
        put_int(attributes, semconv.USAGE_INPUT_TOKENS, tokens)
    attributes[semconv.RESPONSE_SERVICE_TIER] = semconv.TIER_CACHE_STORAGE
    return translation


def _hours(payload: Any) -> float:
    created, expires = (_moment(payload.get(name)) for name in ("createTime", "expireTime"))
    if created is None or expires is None:
        return 0.0
    return min((expires - created).total_seconds() / 3600, _MANY_HOURS)


def _moment(text: Json) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def request_delete(body: Json, path: str, content: bool) -> Translation:
    """The path says which."""
    attributes: dict[str, AttributeValue] = {}
    if name := between(path, "/cachedContents/"):
        attributes[semconv.CACHED_CONTENT_NAME] = f"cachedContents/{name}"
    return Translation(attributes)


def response_delete(body: Json, content: bool) -> Translation:
    """An empty object."""
    return Translation()


def _matches_delete(path: str, body: bytes) -> bool:
    return "/cachedContents/" in path


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation=OPERATION,
    endings=("cachedContents",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)
DELETE: Final = replace(
    FORMAT,
    operation=DELETE_OPERATION,
    method="DELETE",
    matches=_matches_delete,
    request=request_delete,
    response=response_delete,
)
