"""Methods that nobody listed: calls of models where their messages have a model and a usage by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    either,
    mapping,
    put_int,
    put_text,
)

from .method import GrpcMethod, HttpRequest

_MODELS: Final = ("model", "model_name", "model_id", "model_version")
_USAGES: Final = ("usage", "usage_metadata", "token_usage")
_INPUT: Final = ("input_tokens", "prompt_tokens", "input_token_count", "prompt_token_count")
_OUTPUT: Final = (
    "output_tokens", "completion_tokens", "output_token_count", "completion_token_count",
    "candidates_token_count", "generated_tokens",
)  # fmt: skip
_CACHED: Final = (
    "cached_tokens",
    "cache_read_input_tokens",
    "cached_input_tokens",
    "cached_content_token_count",
)
_REASONING: Final = ("reasoning_tokens", "reasoning_output_tokens", "thoughts_token_count")


def method_of(request: Any, response: Any) -> GrpcMethod | None:
    """The method between two classes of protobuf, each None where it is not known; None where no model is
    called.
    """
    asked, answered = _fields(request), _fields(response)
    has_model = any(name in asked or name in answered for name in _MODELS)
    usages = [answered[name] for name in _USAGES if name in answered]
    counted = [usage for usage in usages if usage.message_type is not None]
    if not has_model or not any(
        name in usage.message_type.fields_by_name for usage in counted for name in (*_INPUT, *_OUTPUT)
    ):
        return None
    return GrpcMethod("", FORMAT, _said, by_path=False, has_finish_reasons=False)


def _fields(kind: Any) -> Any:
    return {} if kind is None else kind.DESCRIPTOR.fields_by_name


def _said(message: Json) -> HttpRequest:
    return HttpRequest("", message)


def _request(body: Json, path: str, content: bool) -> Translation:
    translation = Translation()
    put_text(translation.attributes, semconv.REQUEST_MODEL, either(mapping(body), *_MODELS))
    return translation


def _response(body: Json, content: bool) -> Translation:
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_MODEL, either(payload, *_MODELS))
    put_text(attributes, semconv.RESPONSE_ID, either(payload, "id", "response_id", "request_id"))
    usage = mapping(either(payload, *_USAGES))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, either(usage, *_INPUT))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, either(usage, *_OUTPUT))
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, either(usage, *_CACHED))
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, either(usage, *_REASONING))
    return translation


def _merged(events: Iterable[Json]) -> Json:
    """What the messages of a stream say together: of each field the last word."""
    body: dict[str, Json] = {}
    for event in events:
        body.update(mapping(event))
    return body


FORMAT: Final = WireFormat(
    provider="",
    operation="generate_content",
    endings=(),
    matches=lambda path, body: False,
    request=_request,
    response=_response,
    fold=_merged,
)
