"""Replicate: `POST …/predictions`, then `GET …/predictions/{id}` until it is over, or a stream of its output.

With `Prefer: wait` the answer may be finished at once. The call that returns it finished counts, see
`background_responses`. A stream is at an address of its own, holds texts in place of JSON and tells no usage.
"""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from llmtrace import semconv

from . import background_responses, message_parts
from .finish_reasons import finish_reason
from .format import Json, Translation, WireFormat, between, mapping, put_float, put_int, put_text, word
from .request_params import put_request_params

_OWNED: Final = re.compile(r"/(?:models|deployments)/([^/]+/[^/]+)/predictions$")
#: 32 bytes after the mark of a cluster; the ids of OpenAI's files are shorter.
_STREAM: Final = re.compile(r"/v1/(?:files|streams)/[a-z]{4}-[a-z2-7]{52}$")
_REASONS: Final = {"succeeded": "stop", "canceled": "error"}
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


def matches(path: str, body: bytes) -> bool:
    """By the path, which may name a model or a deployment, and the one field every request has."""
    return b'"input"' in body and (path.endswith("/v1/predictions") or _OWNED.search(path) is not None)


def matches_fetch(path: str, body: bytes) -> bool:
    """A prediction by its id."""
    return between(path, "/v1/predictions/") is not None


def matches_stream(path: str, body: bytes) -> bool:
    """By the form of the address: nothing else of it says whose it is."""
    return _STREAM.search(path) is not None


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path, or a version of it in the body."""
    payload = mapping(body)
    asked = mapping(payload.get("input"))
    translation = Translation()
    attributes = translation.attributes
    owned = _OWNED.search(path)
    put_text(attributes, semconv.REQUEST_MODEL, owned[1] if owned else payload.get("version"))
    put_request_params(attributes, asked)
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        _put_input(translation, asked)
    return translation


def _put_input(translation: Translation, asked: Any) -> None:
    prompt = asked.get("prompt")
    if instructions := message_parts.instructions(asked.get("system_prompt")):
        translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
    if prompt is not None:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(prompt)])
        ]


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """All that a fetch says is the id."""
    translation = Translation()
    put_text(translation.attributes, semconv.RESPONSE_ID, between(path, "/v1/predictions/"))
    return translation


def request_stream(body: Json, path: str, content: bool) -> Translation:
    """All that a stream's request says is where it is."""
    translation = Translation()
    translation.attributes[semconv.RESPONSE_STREAM_PATH] = path
    translation.attributes[semconv.REQUEST_STREAM] = True
    return translation


def response(body: Json, content: bool) -> Translation:
    """A prediction to attributes; one that is not over has a status and no usage."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    status = payload.get("status")
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_text(attributes, semconv.RESPONSE_STATUS, status)
    if place := _path_of(mapping(payload.get("urls")).get("stream")):
        attributes[semconv.RESPONSE_STREAM_PATH] = place
    if background_responses.is_pending(status):
        attributes[semconv.OPERATION_NAME] = background_responses.QUEUED
        return translation
    metrics = mapping(payload.get("metrics"))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, metrics.get("input_token_count"))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, metrics.get("output_token_count"))
    put_float(attributes, semconv.USAGE_COMPUTE_SECONDS, metrics.get("predict_time"))
    if isinstance(status, str):
        attributes[semconv.RESPONSE_FINISH_REASONS] = [_REASONS.get(status) or finish_reason(status)]
    if content:
        parts = _parts(payload.get("output"))
        if parts:
            translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", parts)]
    return translation


def response_fetch(body: Json, content: bool) -> Translation:
    """The same; what is finished is the call now, and says what it was asked."""
    payload = mapping(body)
    translation = response(body, content)
    attributes = translation.attributes
    if attributes.get(semconv.OPERATION_NAME) == background_responses.QUEUED:
        attributes[semconv.OPERATION_NAME] = background_responses.FETCH
    elif isinstance(payload.get("status"), str):
        attributes[semconv.OPERATION_NAME] = "generate_content"
        put_text(attributes, semconv.REQUEST_MODEL, payload.get("model"))
        if content:
            _put_input(translation, mapping(payload.get("input")))
    return translation


def _path_of(url: Json) -> str | None:
    try:
        return urlsplit(url).path if isinstance(url, str) else None
    except ValueError:  # no address
        return None


def _parts(output: Json) -> list[Json]:
    """Texts are one; what is at an address is told by it."""
    values = output if isinstance(output, list) else [output]
    texts = [value for value in values if isinstance(value, str)]
    if texts and all(text.startswith(("https://", "http://", "data:")) for text in texts):
        return [_media(text) for text in texts]
    if texts:
        return [message_parts.text("".join(texts))]
    return [message_parts.unknown(value) for value in values if value is not None]


def _media(url: str) -> Json:
    mime_type = mimetypes.guess_type(_path_of(url) or "")[0]
    return message_parts.reference(url, message_parts.modality_of(mime_type))


def joined(body: bytes) -> bytes:
    """The stream with each event as JSON: its data are texts, of which no reader of JSON makes anything."""
    pieces: list[bytes] = []
    for name, data in _events(body):
        pieces.append(b"data: " + json.dumps({"event": name, "data": data}).encode() + b"\n\n")
    return b"".join(pieces)


def _events(body: bytes) -> Iterator[tuple[str, str]]:
    name, lines = "", list[str]()
    for line in _LINE_END.split(body):
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if not line:
            if name or lines:
                yield name, "\n".join(lines)
            name, lines = "", []
        elif field == "event":
            name = value
        elif field == "data":
            lines.append(value)


def fold(events: Iterable[Json]) -> Json:
    """Texts to the prediction, which has no status without the last event."""
    body: dict[str, Any] = {}
    words: list[str] = []
    for event in map(mapping, events):
        name, data = word(event, "event"), word(event, "data")
        if name == "output":
            words.append(data)
        elif name == "error":
            body.update(status="failed", error=data)
        elif name == "done" and "error" not in body:
            body["status"] = "canceled" if "cancel" in data else "succeeded"
    body["output"] = words
    return body


FORMAT: Final = WireFormat(
    provider="replicate",
    operation="generate_content",
    endings=("predictions",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    joined=joined,
    fetched_again=True,
)
FETCH: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    method="GET",
    matches=matches_fetch,
    request=request_fetch,
    response=response_fetch,
)
STREAM: Final = replace(
    FORMAT,
    endings=("files", "streams"),
    method="GET",
    matches=matches_stream,
    request=request_stream,
)
