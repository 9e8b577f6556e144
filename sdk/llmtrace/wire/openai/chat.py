"""OpenAI chat completions, spoken by OpenAI, Azure OpenAI, Groq, DeepSeek, Mistral, xAI, vLLM and many more.

`POST …/chat/completions`; Azure puts the model in the path (`/openai/deployments/{model}/chat/completions`).
Mistral's agents (`…/agents/completions`) and fill-in-the-middle (`…/fim/completions`), Writer's chat
(`…/v1/chat`) and Portkey's stored prompts (`…/prompts/{id}/completions`) answer the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, index_or_id, items, mapping, put_text, word
from llmtrace.wire.framing.stream_joiner import StreamJoiner

from . import chat_messages
from .shared import put_choices, put_completion, put_model, usage_of


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    if path.endswith(("/chat/completions", "/agents/completions", "/v1/chat")):
        return b'"messages"' in body
    if "/prompts/" in path and path.endswith("/completions"):
        return b'"variables"' in body
    return path.endswith("/fim/completions") and b'"prompt"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OPENAI_API_TYPE] = "chat_completions"
    put_model(attributes, payload, path)
    put_completion(attributes, payload)
    put_text(attributes, semconv.REQUEST_REASONING_LEVEL, payload.get("reasoning_effort"))
    put_text(attributes, semconv.AGENT_ID, payload.get("agent_id"))
    if content:
        input_messages = [
            chat_messages.message(raw_message) for raw_message in items(payload.get("messages"))
        ]
        if prompt := payload.get("prompt"):
            input_messages.append(message_parts.message("user", [message_parts.text(prompt)]))
        translation.content[semconv.INPUT_MESSAGES] = input_messages
        if tools := chat_messages.tools(payload):
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    payload = mapping(body)
    translation = Translation()
    choices = put_choices(translation.attributes, payload)
    if content and choices:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            chat_messages.message({"role": "assistant", **mapping(choice.get("message"))})
            for choice in choices
        ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the completion they add up to."""
    body: dict[str, Any] = {}
    choices: dict[int | str, _Choice] = {}
    for event in events:
        if not isinstance(event, dict):
            continue
        for key in ("id", "model", "service_tier", "system_fingerprint", "error"):
            if value := event.get(key):
                body[key] = value
        if usage := usage_of(event):
            body["usage"] = usage
        for chunk in items(event.get("choices")):
            index = index_or_id(mapping(chunk).get("index"))
            choice = choices.get(index)
            if choice is None:
                choice = choices[index] = _Choice()
            choice.add(mapping(chunk))
    if choices:
        body["choices"] = [choices[index].folded() for index in sorted(choices, key=_position)]
    return body


def _sole_text(event: Json) -> Json:
    """See `StreamJoiner`."""
    choices = items(mapping(event).get("choices"))
    delta = mapping(mapping(choices[0]).get("delta")) if len(choices) == 1 else {}
    fields = [(key, value) for key, value in delta.items() if value and key != "role"]
    if len(fields) != 1:
        return None
    key, value = fields[0]
    if key != "tool_calls" or not isinstance(value, list) or len(value) != 1:
        return value
    call = mapping(value[0])
    function = mapping(call.get("function"))
    return function.get("arguments") if "index" in call and not function.get("name") else None


class _Choice:
    """One choice of a stream, being put together."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._parts: list[Json] = []
        self._tool_calls: dict[Any, dict[str, Any]] = {}
        self._finish_reason: Json = None

    def add(self, chunk: Any) -> None:
        if reason := chunk.get("finish_reason"):
            self._finish_reason = reason
        for key, value in mapping(chunk.get("delta")).items():
            if key == "tool_calls":
                for call in items(value):
                    index = mapping(call).get("index", len(self._tool_calls))
                    self._add_call(index_or_id(index), mapping(call))
            elif key == "function_call" and value:
                self._add_call("function_call", {"function": value})
            elif key == "content" and isinstance(value, list):
                self._add_parts(value)
            elif key != "role" and isinstance(value, str) and value:
                self._texts.setdefault(key, []).append(value)

    def _add_parts(self, content: list[Json]) -> None:
        """Mistral's thinking models stream parts, each a few words of the one before."""
        for part in content:
            last = self._parts[-1] if self._parts else {}
            kind = word(mapping(part), "type")
            if kind == "thinking" and last.get("type") == kind:
                last[kind] = [*items(last.get(kind)), *items(part.get(kind))]
            elif isinstance(part, dict):
                self._parts.append(dict(part))

    def _add_call(self, index: Any, delta: Any) -> None:
        call = self._tool_calls.setdefault(index, {"id": None, "function": {"name": "", "arguments": ""}})
        call["id"] = delta.get("id") or call["id"]
        function = mapping(delta.get("function")) or mapping(delta.get("custom"))
        name, arguments = function.get("name"), function.get("arguments") or function.get("input")
        call["function"]["name"] += name if isinstance(name, str) else ""
        before = call["function"]["arguments"]
        if arguments and isinstance(before, str):
            # Some servers send the arguments whole and as an object.
            call["function"]["arguments"] = before + arguments if isinstance(arguments, str) else arguments

    def folded(self) -> Json:
        message: dict[str, Any] = {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._parts:
            text = message.get("content")
            message["content"] = self._parts + ([{"type": "text", "text": text}] if text else [])
        if self._tool_calls:
            message["tool_calls"] = list(self._tool_calls.values())
        return {"message": message, "finish_reason": self._finish_reason}


def _position(index: Json) -> int:
    return index if isinstance(index, int) else 0


FORMAT: Final = WireFormat(
    provider="openai",
    operation="chat",
    endings=("completions", "chat"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
    joined=StreamJoiner(
        fields=("content", "reasoning_content", "reasoning", "arguments"),
        sole_text=_sole_text,
        strip_noise=partial(re.compile(rb',"obfuscation":"[^"\\]*"').sub, b""),
    ).joined,
)
