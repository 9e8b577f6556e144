"""Hugging Face text generation: TGI's `POST …/generate`, `…/generate_stream`, `/`; and `…/models/{model}`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv

from . import message_parts
from .finish_reasons import finish_reason
from .format import Json, Translation, WireFormat, between, items, mapping, put_int, put_text
from .openai.completions import inputs
from .request_params import put_request_params


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    return b'"inputs"' in body


def matches_model(path: str, body: bytes) -> bool:
    """A path that names the model, or an empty one; of the tasks called so, only this has parameters."""
    if path != "/" and ("/models/" not in path or "/pipeline/" in path):
        return False
    return b'"inputs"' in body and b'"parameters"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the model is in the path, if anywhere."""
    payload = mapping(body)
    parameters = mapping(payload.get("parameters"))
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, between(path, "/models/", "?"))
    put_request_params(attributes, parameters)
    if payload.get("stream") is True or path.endswith("/generate_stream"):
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(payload.get("inputs"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a list where the request was one."""
    answers = [mapping(answer) for answer in (body if isinstance(body, list) else [body])]
    answers = [answer for answer in answers if "generated_text" in answer]
    translation = Translation()
    attributes = translation.attributes
    details = [mapping(answer.get("details")) for answer in answers]
    details = [detail for detail in details if detail]
    if details:
        output_counts = [detail.get("generated_tokens") for detail in details]
        put_int(
            attributes,
            semconv.USAGE_OUTPUT_TOKENS,
            sum(count for count in output_counts if type(count) is int),
        )
        input_counts = [
            detail.get("input_length", len(items(detail.get("prefill"))) or None) for detail in details
        ]
        put_int(
            attributes,
            semconv.USAGE_INPUT_TOKENS,
            sum(count for count in input_counts if type(count) is int) or None,
        )
        attributes[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(detail.get("finish_reason")) for detail in details
        ]
    if content and answers:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(answer.get("generated_text"))])
            for answer in answers
        ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Tokens to the response they add up to: the last event has the whole text and the details."""
    body: dict[str, Any] = {}
    words: list[str] = []
    for event in map(mapping, events):
        token = mapping(event.get("token"))
        if token.get("special") is not True:
            words.append(str(token.get("text") or ""))
        body.update({key: value for key, value in event.items() if value is not None})
    body.setdefault("generated_text", "".join(words))
    return body


FORMAT: Final = WireFormat(
    provider="hugging_face",
    operation="text_completion",
    endings=("generate", "generate_stream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)
MODEL: Final = replace(FORMAT, endings=(), words=("models", ""), matches=matches_model)
