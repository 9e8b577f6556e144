"""Gemini's generateContent and embeddings, on its own API and on Vertex AI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model_answer import Api, ModelAnswer, sse


def _model(path: str) -> str:
    return path.rpartition("/")[2].partition(":")[0]


def _parts(answer: ModelAnswer) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if answer.reasoning:
        parts.append({"text": answer.reasoning, "thought": True})
    if answer.text:
        parts.append({"text": answer.text})
    parts += [
        {"functionCall": {"name": call.name, "args": dict(call.arguments)}} for call in answer.tool_calls
    ]
    return parts


def _usage(answer: ModelAnswer) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": answer.output_tokens - answer.reasoning_tokens,
        "totalTokenCount": answer.input_tokens + answer.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.input_tokens}],
    }
    if answer.cache_read:
        usage["cachedContentTokenCount"] = answer.cache_read
    if answer.reasoning_tokens:
        usage["thoughtsTokenCount"] = answer.reasoning_tokens
    return usage


def _chunk(
    parts: list[dict[str, Any]], answer: ModelAnswer, number: str, path: str, reason: str | None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(answer),
        "modelVersion": _model(path),
        "responseId": f"gemini-conf{number}x",
    }


def _whole(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    return _chunk(_parts(answer), answer, number, path, "STOP")


def _stream(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> list[bytes]:
    pieces = (
        [_parts(answer)] if answer.tool_calls or answer.reasoning else [[{"text": w}] for w in answer.words]
    )
    return sse(
        *(
            _chunk(parts, answer, number, path, "STOP" if place == len(pieces) - 1 else None)
            for place, parts in enumerate(pieces)
        )
    )


def _embedding(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    values = {"values": [0.25, -0.5, 0.125, 0.75]}
    if path.endswith(":embedContent"):
        return {"embedding": values}
    return {"embeddings": [values for _ in body.get("requests", ())]}


def _error(status: int) -> Any:
    busy = status == 429
    return {
        "error": {
            "code": status,
            "message": "Resource has been exhausted" if busy else "Invalid value at 'temperature'",
            "status": "RESOURCE_EXHAUSTED" if busy else "INVALID_ARGUMENT",
        }
    }


GENERATE_CONTENT = Api(
    "gemini",
    "gcp.gemini",
    lambda path: path.endswith((":generateContent", ":streamGenerateContent")),
    lambda path, body: path.endswith(":streamGenerateContent"),
    _whole,
    _stream,
    _error,
)
EMBEDDINGS = Api(
    "gemini embeddings",
    "gcp.gemini",
    lambda path: path.endswith((":embedContent", ":batchEmbedContents")),
    lambda path, body: False,
    _embedding,
    lambda *_: [],
    _error,
)
