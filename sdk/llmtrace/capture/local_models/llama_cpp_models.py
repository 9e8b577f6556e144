"""`llama_cpp.Llama`, whose answers are OpenAI's."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final

from llmtrace.wire.format import Json, mapping
from llmtrace.wire.openai import embeddings

from .exchange import (
    Answer,
    Arguments,
    Library,
    Observation,
    Request,
    Tokens,
    chat_request,
    completion_request,
    serialized,
)

_METHODS: Final = ("create_chat_completion", "create_completion", "__call__", "create_embedding")
_FIELDS: Final = frozenset(
    {
        "messages", "prompt", "input", "tools", "tool_choice", "response_format", "max_tokens", "temperature",
        "top_p", "top_k", "stop", "seed", "stream", "frequency_penalty", "presence_penalty",
    }
)  # fmt: skip


def describe(model: Any) -> tuple[str, str, Any]:
    """See `Library`."""
    return PurePath(str(getattr(model, "model_path", ""))).stem or "llama.cpp", "llama.cpp", None


def request(observation: Observation, method: str, arguments: Arguments) -> Request:
    """See `Library`."""
    args, kwargs = arguments
    first = {"create_chat_completion": "messages", "create_embedding": "input"}.get(method, "prompt")
    named = {first: args[0], **kwargs} if args else dict(kwargs)
    body = {name: value for name, value in named.items() if name in _FIELDS and value is not None}
    body["model"] = observation.name
    if method == "create_chat_completion":
        return chat_request(body)
    if method == "create_embedding":
        return Request(embeddings.FORMAT, "/v1/embeddings", serialized(body))
    return completion_request(body)


def answer(observation: Observation, model: Any, arguments: Arguments, result: Any) -> Answer:
    """See `Library`."""
    usage = mapping(mapping(result).get("usage"))
    body: Json = {**mapping(result), "model": observation.name}
    if "data" in body:
        body["data"] = body["data"][:1]  # of the vectors only the length is recorded
    return Answer(lambda: body, Tokens(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0))


LIBRARY: Final = Library(_METHODS, describe, request, answer)
