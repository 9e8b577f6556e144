"""A function of the program's own that runs a model, whatever it does inside."""

from __future__ import annotations

from typing import Any, Final

from llmtrace.wire.format import Json, items, mapping

from .exchange import (
    Answer,
    Arguments,
    Library,
    Observation,
    Request,
    Tokens,
    argument,
    chat_request,
    completion_request,
    prediction_request,
)


def describe(function: Any) -> tuple[str, str, Any]:
    """See `Library`."""
    return str(getattr(function, "__name__", type(function).__name__)), "unknown", None


def request(observation: Observation, method: str, arguments: Arguments) -> Request:
    """See `Library`: messages and prompts are told by their names or their shape."""
    asked = argument(arguments, 0, "messages", "prompt", "prompts", "text")
    body = {"model": observation.name, "stream": arguments[1].get("stream")}
    if isinstance(asked, list) and asked and all(isinstance(message, dict) for message in asked):
        return chat_request({**body, "messages": asked})
    if isinstance(asked, str) or (isinstance(asked, list) and all(isinstance(text, str) for text in asked)):
        return completion_request({**body, "prompt": asked})
    return prediction_request(observation.name)


def answer(observation: Observation, function: Any, arguments: Arguments, result: Any) -> Answer:
    """See `Library`: a text, or what is shaped as OpenAI's answers are."""
    if isinstance(result, str):
        choice = {"text": result, "message": {"role": "assistant", "content": result}}
        return Answer(lambda: {"choices": [{**choice, "finish_reason": "stop"}]})
    dump = getattr(result, "model_dump", None)
    body: Json = dump() if callable(dump) else result
    fields = mapping(body)
    usage = mapping(fields.get("usage"))
    if not fields.get("choices") and not usage:
        return Answer(dict)
    counted = Tokens(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    full_body = {"model": observation.name, **fields, "choices": items(fields.get("choices"))}
    return Answer(lambda: full_body, counted)


def _count(usage: Any, name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


LIBRARY: Final = Library((), describe, request, answer)
