"""Servers of one's own for any model: TensorFlow Serving, KServe (v1, and v2: open inference), Triton.

`POST /v1/models/{model}:predict`, `:classify`, `:regress`, `:explain`; `POST /v2/models/{model}/infer`; and
Triton's `/generate` and `/generate_stream` with texts. What they answer costs nothing by the call: the
machine is paid anyway, so their tier is that of reserved capacity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

from llmtrace import semconv

from . import message_parts
from .format import Json, Translation, WireFormat, items, mapping, put_text, whole, word
from .openai.completions import inputs
from .request_params import put_request_params
from .without_tokens import RESERVED, without_tokens

_V1: Final = re.compile(
    r"/v1/models/([^/:]+)(?:/(?:versions|labels)/[^/:]+)?:(?:predict|classify|regress|explain)$"
)
_V2: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/[^/]+)?/(?:infer|generate|generate_stream)$")
#: Models that Google serves at such a path itself.
_OF_GOOGLE: Final = re.compile(r"imagen|veo|gemini|text-embedding|textembedding|multimodalembedding")


def matches(path: str, body: bytes) -> bool:
    """By the path, whose model is none of Google's."""
    match = _V1.search(path)
    return match is not None and _OF_GOOGLE.match(match[1]) is None


def matches_v2(path: str, body: bytes) -> bool:
    """By the path alone: tensors may follow the JSON of a body, or be in it."""
    return _V2.search(path) is not None


def matches_generate(path: str, body: bytes) -> bool:
    """By the path, and the one field by which Triton's text generation is asked."""
    return _V2.search(path) is not None and b'"text_input"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """The path says which model; tensors are no messages."""
    translation = without_tokens()
    translation.attributes[semconv.RESPONSE_SERVICE_TIER] = RESERVED
    _put_model(translation, path)
    return translation


def request_generate(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; parameters stand beside the text, or in an object."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.RESPONSE_SERVICE_TIER] = RESERVED
    _put_model(translation, path)
    put_request_params(attributes, {**payload, **mapping(payload.get("parameters"))})
    if path.endswith("_stream"):
        attributes[semconv.REQUEST_STREAM] = True
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(payload.get("text_input"))
    return translation


def _put_model(translation: Translation, path: str) -> None:
    match = _V1.search(path) or _V2.search(path)
    if match is not None:
        put_text(translation.attributes, semconv.REQUEST_MODEL, unquote(match[1]))


def response(body: Json, content: bool) -> Translation:
    """A name and an id, where there are any; predictions are no messages."""
    payload = mapping(body)
    translation = Translation()
    name, version = word(payload, "model_name"), word(payload, "model_version")
    answered = f"{name}:{version}" if name and version else name
    put_text(translation.attributes, semconv.RESPONSE_MODEL, answered)
    put_text(translation.attributes, semconv.RESPONSE_ID, payload.get("id"))
    return translation


def response_generate(body: Json, content: bool) -> Translation:
    """Response body to attributes; it has no reason why the text ends."""
    payload = mapping(body)
    translation = response(body, content)
    written = payload.get("text_output")
    if written is not None:
        translation.attributes[semconv.RESPONSE_FINISH_REASONS] = [
            "error" if payload.get("error") else "stop"
        ]
    if content and written is not None:
        texts = items(written) or [written]
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(text)]) for text in texts
        ]
    return translation


def fold_generate(events: Iterable[Json]) -> Json:
    """Chunks, each a piece of the text, to the whole of it."""
    body: dict[str, Any] = {}
    words: list[str] = []
    for event in map(mapping, events):
        words.append(word(event, "text_output"))
        body.update(event)
    if words:
        body["text_output"] = "".join(words)
    return body


FORMAT: Final = WireFormat(
    provider="tensorflow_serving",
    operation=semconv.PREDICT_OPERATION,
    endings=("predict", "classify", "regress", "explain"),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)
OPEN_INFERENCE: Final = replace(FORMAT, provider="triton", endings=("infer",), matches=matches_v2)
GENERATE: Final = replace(
    OPEN_INFERENCE,
    operation="text_completion",
    endings=("generate", "generate_stream"),
    matches=matches_generate,
    request=request_generate,
    response=response_generate,
    fold=fold_generate,
)
