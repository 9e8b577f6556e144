"""Classifiers and scores: `POST …/classify`, `…/classifications` and `…/score`.

Of Cohere (`inputs`), vLLM, Jina and Mistral (`input`), SGLang (`text`, `items`). Some tell tokens, Cohere
tells classifications.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llmtrace import semconv

from .cohere.rerank import response as response_rerank
from .format import Json, Translation, WireFormat, items, mapping, put_int, put_text, whole, word
from .openai.chat_messages import message
from .openai.completions import inputs
from .openai.shared import put_usage
from .without_tokens import without_tokens

_INPUTS: Final = ("inputs", "input", "text", "messages")


def matches(path: str, body: bytes) -> bool:
    """By the last word of the path and what is to be classified."""
    return b'"input' in body or b'"text"' in body or b'"messages"' in body


def matches_score(path: str, body: bytes) -> bool:
    """Pairs of texts, under any of the names that they have."""
    return b'"text_1"' in body or b'"queries"' in body or (b'"query"' in body and b'"items"' in body)


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each text is a message."""
    payload = mapping(body)
    translation = without_tokens()
    put_text(translation.attributes, semconv.REQUEST_MODEL, payload.get("model"))
    if content:
        asked: Json = next((payload[key] for key in _INPUTS if payload.get(key) is not None), [])
        conversation = [item for item in items(asked) if isinstance(item, dict) and "role" in item]
        translation.content[semconv.INPUT_MESSAGES] = list(map(message, conversation)) or inputs(asked)
    return translation


def request_score(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the query is content, as of a ranking."""
    payload = mapping(body)
    translation = Translation()
    put_text(translation.attributes, semconv.REQUEST_MODEL, payload.get("model"))
    if content and (query := word(payload, "query") or word(payload, "queries") or word(payload, "text_1")):
        translation.texts[semconv.RETRIEVAL_QUERY_TEXT] = query
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; labels are no messages."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    usage = mapping(payload.get("usage"))
    put_usage(attributes, usage)
    if semconv.USAGE_INPUT_TOKENS not in attributes:
        put_int(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("total_tokens"))
    billed = mapping(mapping(payload.get("meta")).get("billed_units"))
    put_int(attributes, semconv.USAGE_CLASSIFICATIONS, billed.get("classifications"))
    return translation


FORMAT: Final = WireFormat(
    provider="openai",
    operation=semconv.PREDICT_OPERATION,
    endings=("classify", "classifications"),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)
COHERE: Final = replace(
    FORMAT,
    provider="cohere",
    endings=("classify",),
    matches=lambda path, body: path.endswith("/v1/classify") and b'"inputs"' in body,
)
SCORE: Final = replace(
    FORMAT,
    operation="rerank",
    endings=("score",),
    matches=matches_score,
    request=request_score,
    response=response_rerank,
)
