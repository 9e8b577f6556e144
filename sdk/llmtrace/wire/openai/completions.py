"""OpenAI's legacy text completions, still spoken by vLLM, llama.cpp, DeepSeek and Azure.

`POST …/completions` with a `prompt`: a text, several, or tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, index_or_id, items, mapping, word
from llmtrace.wire.framing.stream_joiner import StreamJoiner

from .shared import put_choices, put_completion, put_model, usage_of

_REASONS: Final = frozenset({"finish_reason", "stop_reason"})


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return path.endswith("/completions") and b'"prompt"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; each prompt is a message."""
    payload = mapping(body)
    translation = Translation()
    put_model(translation.attributes, payload, path)
    put_completion(translation.attributes, payload)
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(payload.get("prompt"))
    return translation


def inputs(prompt: Json) -> list[Json]:
    """A message for each text of an input; token ids are only counted, for nobody can read them."""
    if isinstance(prompt, list) and not all(type(item) is int for item in prompt):
        return [message for item in prompt for message in inputs(item)]
    if isinstance(prompt, list):
        return [message_parts.message("user", [{"type": "tokens", "count": len(prompt)}])]
    return [message_parts.message("user", [message_parts.text(prompt)])]


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    choices = put_choices(translation.attributes, payload)
    if not any(_REASONS.intersection(choice) for choice in choices):
        translation.attributes.pop(semconv.RESPONSE_FINISH_REASONS, None)  # Writer's have none
    if content and choices:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(choice.get("text"))]) for choice in choices
        ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the completion they add up to."""
    body: dict[str, Any] = {}
    choices: dict[Any, dict[str, Any]] = {}
    for event in map(mapping, events):
        for key in ("id", "model", "system_fingerprint", "service_tier", "error"):
            if value := event.get(key):
                body[key] = value
        if usage := usage_of(event):
            body["usage"] = usage
        if word(event, "object") == "error":
            body["error"] = event
        for chunk in map(mapping, items(event.get("choices"))):
            if error := chunk.get("error"):
                body["error"] = error
            choice = choices.setdefault(
                index_or_id(chunk.get("index")), {"pieces": [], "finish_reason": None}
            )
            choice["pieces"].append(str(chunk.get("text") or ""))
            reason = chunk.get("finish_reason") or chunk.get("stop_reason")
            choice["finish_reason"] = reason or choice["finish_reason"]
        if isinstance(event.get("value"), str):  # Writer's pieces, of which none says that it is the last
            choice = choices.setdefault(0, {"pieces": [], "finish_reason": "stop"})
            choice["pieces"].append(event["value"])
    if choices:
        body["choices"] = [
            {"text": "".join(choice["pieces"]), "finish_reason": choice["finish_reason"]}
            for _, choice in sorted(choices.items(), key=lambda item: str(item[0]).zfill(9))
        ]
    return body


def _sole_text(event: Json) -> Json:
    """See `StreamJoiner`."""
    choices = items(mapping(event).get("choices"))
    return mapping(choices[0]).get("text") or None if len(choices) == 1 else None


FORMAT: Final = WireFormat(
    provider="openai",
    operation="text_completion",
    endings=("completions",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    joined=StreamJoiner(fields=("text",), sole_text=_sole_text).joined,
)
