"""IBM watsonx.ai: `POST /ml/v1/text/chat`, `/generation`, `/embeddings`, `/rerank`, and streams of two.

Deployments have the same below `/ml/v1/deployments/{id}/text/`. Chat is OpenAI's but for the model's field.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv

from . import message_parts
from .cohere import rerank
from .finish_reasons import finish_reason
from .format import (
    Json,
    Translation,
    WireFormat,
    between,
    count_of,
    index_or_id,
    items,
    mapping,
    put_int,
    put_sum,
    put_text,
    whole,
    word,
)
from .openai import chat
from .openai.completions import inputs
from .request_params import put_request_params

#: The words that `finish_reasons` does not know.
_STOPS: Final = {"token_limit": "length", "time_limit": "length"}
_NOT_FINISHED: Final = "not_finished"


def _is_text(path: str) -> bool:
    return "/ml/v1/" in path and "/text/" in path


def matches_chat(path: str, body: bytes) -> bool:
    """By the beginning of the path and the one field every request has."""
    return _is_text(path) and b'"messages"' in body


def matches(path: str, body: bytes) -> bool:
    """By the beginning of the path: the input of a deployment may be in its prompt template."""
    return _is_text(path)


def request_chat(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    translation = chat.request(body, path, content)
    translation.attributes.pop(semconv.OPENAI_API_TYPE, None)
    _put_model(translation, mapping(body), path)
    return translation


def response_chat(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    translation = chat.response(body, content)
    put_text(translation.attributes, semconv.RESPONSE_MODEL, mapping(body).get("model_id"))
    return translation


def fold_chat(events: Iterable[Json]) -> Json:
    """Chunks to the completion they add up to."""
    chunks = [event for event in events if isinstance(event, dict)]
    body = chat.fold(chunks)
    for chunk in chunks:
        body["model_id"] = chunk.get("model_id") or body.get("model_id")
        if chunk.get("errors"):
            body["error"] = _error(chunk)
    return body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body of a generation to attributes."""
    payload = mapping(body)
    parameters = mapping(payload.get("parameters"))
    translation = Translation()
    _put_model(translation, payload, path)
    put_request_params(translation.attributes, parameters)
    if content:
        asked = payload.get("input")
        if asked is None:  # a deployment's prompt template, with what stands in it
            values = mapping(parameters.get("prompt_variables")).values()
            asked = "\n".join(str(value) for value in values)
        translation.content[semconv.INPUT_MESSAGES] = inputs(asked)
    return translation


def request_embeddings(body: Json, path: str, content: bool) -> Translation:
    """Request body of embeddings to attributes; each text is a message."""
    payload = mapping(body)
    translation = Translation()
    _put_model(translation, payload, path)
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(items(payload.get("inputs")))
    return translation


def request_rerank(body: Json, path: str, content: bool) -> Translation:
    """Request body of a ranking to attributes."""
    payload = mapping(body)
    translation = rerank.request(body, path, content)
    _put_model(translation, payload, path)
    options = mapping(mapping(payload.get("parameters")).get("return_options"))
    put_int(translation.attributes, semconv.RETRIEVAL_TOP_K, options.get("top_n"))
    return translation


def _put_model(translation: Translation, payload: Any, path: str) -> None:
    attributes = translation.attributes
    deployment = between(path, "/deployments/")
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model_id") or deployment)
    if path.endswith("_stream"):
        attributes[semconv.REQUEST_STREAM] = True


def response(body: Json, content: bool) -> Translation:
    """Response body of a generation to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model_id"))
    results = [mapping(result) for result in items(payload.get("results"))]
    put_sum(attributes, semconv.USAGE_INPUT_TOKENS, *(result.get("input_token_count") for result in results))
    put_sum(
        attributes, semconv.USAGE_OUTPUT_TOKENS, *(result.get("generated_token_count") for result in results)
    )
    if results:
        reasons = [word(result, "stop_reason").lower() for result in results]
        attributes[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(_STOPS.get(reason, "" if reason == _NOT_FINISHED else reason)) for reason in reasons
        ]
    if content and results:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(result.get("generated_text"))])
            for result in results
        ]
    return translation


def response_embeddings(body: Json, content: bool) -> Translation:
    """Response body of embeddings to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model_id"))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, payload.get("input_token_count"))
    vector = items(mapping(next(iter(items(payload.get("results"))), None)).get("embedding"))
    put_int(attributes, semconv.EMBEDDINGS_DIMENSION_COUNT, len(vector) or None)
    return translation


def response_rerank(body: Json, content: bool) -> Translation:
    """Response body of a ranking to attributes."""
    payload = mapping(body)
    results = [
        {**result, "document": result.get("input")} for result in map(mapping, items(payload.get("results")))
    ]
    translation = rerank.response({"results": results}, content)
    put_text(translation.attributes, semconv.RESPONSE_MODEL, payload.get("model_id"))
    put_int(translation.attributes, semconv.USAGE_INPUT_TOKENS, payload.get("input_token_count"))
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Chunks of a generation to the response; counts grow, or are told once and 0 elsewhere."""
    body: dict[str, Any] = {}
    results: dict[int | str, dict[str, Any]] = {}
    words: dict[int | str, list[str]] = {}
    for event in map(mapping, events):
        if event.get("errors"):
            body["error"] = _error(event)
        if event.get("model_id"):
            body["model_id"] = event["model_id"]
        for place, chunk in enumerate(map(mapping, items(event.get("results")))):
            index = index_or_id(chunk.get("index", place))
            result = results.setdefault(index, {})
            words.setdefault(index, []).append(word(chunk, "generated_text"))
            for key in ("input_token_count", "generated_token_count"):
                if count_of(chunk.get(key)) >= count_of(result.get(key)) and key in chunk:
                    result[key] = chunk[key]
            result["stop_reason"] = chunk.get("stop_reason") or result.get("stop_reason")
    if results:
        body["results"] = [
            {**result, "generated_text": "".join(words[index])} for index, result in results.items()
        ]
    return body


def _error(event: Any) -> Json:
    return next(iter(items(event.get("errors"))), None) or event.get("errors")


FORMAT: Final = WireFormat(
    provider="ibm.watsonx.ai",
    operation="text_completion",
    endings=("generation", "generation_stream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)
CHAT: Final = replace(
    FORMAT,
    operation="chat",
    endings=("chat", "chat_stream"),
    matches=matches_chat,
    request=request_chat,
    response=response_chat,
    fold=fold_chat,
)
EMBEDDINGS: Final = replace(
    FORMAT,
    operation="embeddings",
    endings=("embeddings",),
    request=request_embeddings,
    response=response_embeddings,
    fold=whole,
)
RERANK: Final = replace(
    FORMAT,
    operation="rerank",
    endings=("rerank",),
    request=request_rerank,
    response=response_rerank,
    fold=whole,
)
