"""Embeddings. Vectors are never recorded: each text gets one of its own, the same in every run."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire.format import Json, mapping

from . import gemini, ollama, openai_chat
from .recorded import Builder, NotRebuildable, RecordedCall, no_stream, without_none

_USUAL_DIMENSIONS: Final = 256


def stand_in(text: str, dimensions: int) -> list[float]:
    """A unit vector of a text: equal for equal texts, and near to no other's."""
    seeds = (hashlib.sha256(f"{number}:{text}".encode("utf-8", "replace")).digest() for number in _numbers())
    values: list[float] = []
    for seed in seeds:
        values += [(byte - 127.5) / 127.5 for byte in seed]
        if len(values) >= dimensions:
            break
    values = values[:dimensions]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def body(call: RecordedCall, request: Any) -> Json:
    """OpenAI's list of vectors."""
    vectors = [stand_in(text, _dimensions(call, request)) for text in _texts(request.get("input"))]
    encoded: list[Any] = list(vectors)
    if request.get("encoding_format") == "base64":
        encoded = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    sent = call.count(semconv.USAGE_INPUT_TOKENS)
    return {
        "object": "list",
        "model": call.response_model or request.get("model") or call.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(encoded)
        ],
        **({"id": call.response_id} if call.response_id else {}),
        **({} if sent is None else {"usage": {"prompt_tokens": sent, "total_tokens": sent}}),
    }


def ollama_body(call: RecordedCall, request: Any) -> Json:
    """Ollama's list of vectors."""
    texts = _texts(request.get("input", request.get("prompt")))
    vectors = [stand_in(text, _dimensions(call, request)) for text in texts]
    named = {"embeddings": vectors} if "input" in request else {"embedding": vectors[0]}
    sent = call.count(semconv.USAGE_INPUT_TOKENS)
    return without_none({"model": request.get("model"), **named, "prompt_eval_count": sent})


def gemini_body(call: RecordedCall, request: Any) -> Json:
    """Gemini's vector, or those of a batch."""
    if "instances" in request:
        raise NotRebuildable("embeddings of Vertex AI's predict cannot be rebuilt")
    dimensions = _dimensions(call, request)
    sent = call.count(semconv.USAGE_INPUT_TOKENS)
    usage = {} if sent is None else {"usageMetadata": {"promptTokenCount": sent}}
    if "requests" in request:
        texts = [json.dumps(mapping(entry).get("content")) for entry in request["requests"]]
        return {"embeddings": [{"values": stand_in(text, dimensions)} for text in texts], **usage}
    return {"embedding": {"values": stand_in(json.dumps(request.get("content")), dimensions)}, **usage}


def _dimensions(call: RecordedCall, request: Any) -> int:
    asked = request.get("dimensions")
    return call.dimensions or (asked if type(asked) is int else 0) or _USUAL_DIMENSIONS


def _texts(value: Json) -> list[str]:
    if isinstance(value, list) and not all(type(item) is int for item in value):
        return [text for item in value for text in _texts(item)]
    return [value if isinstance(value, str) else json.dumps(value)]


def _whole(request: Any, path: str) -> bool:
    return False


OPENAI: Final = Builder(body, _whole, no_stream, openai_chat.error)
OLLAMA: Final = Builder(ollama_body, _whole, no_stream, ollama.error)
GEMINI: Final = Builder(gemini_body, _whole, no_stream, gemini.error)
