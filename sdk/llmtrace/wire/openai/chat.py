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
from llmtrace.wire import base64_pieces, message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, index_or_id, items, mapping, put_text, word
from llmtrace.wire.framing.stream_joiner import StreamJoiner

from . import chat_messages
from .shared import put_choices, put_completion, put_model, usage_of
from .streamed_tool_calls import StreamedCall, StreamedToolCalls


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
            chat_messages.message({"role": "assistant", **_message(choice)}) for choice in choices
        ]
    return translation


def _message(choice: Any) -> Any:
    """A stored prompt may complete a text, as the answer alone tells."""
    return {"content": choice["text"]} if "text" in choice else mapping(choice.get("message"))


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
        chunks = items(event.get("choices"))
        if not chunks and word(event, "object") == "error":
            body["error"] = event
        for chunk in map(mapping, chunks):
            if error := chunk.get("error"):
                body["error"] = error
            index = index_or_id(chunk.get("index"))
            choice = choices.get(index)
            if choice is None:
                choice = choices[index] = _Choice()
            choice.add(chunk)
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


#: Fields of a message whose pieces are entries of a list, whole.
_LISTS: Final = frozenset({"images", "reasoning_details"})


class _Choice:
    """One choice of a stream, being put together."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._parts: list[dict[str, Any]] = []
        self._tool_calls = StreamedToolCalls()
        self._function_call: StreamedCall | None = None
        self._audio: dict[str, list[str]] = {}
        self._lists: dict[str, list[Json]] = {}
        self._finish_reason: Json = None

    def add(self, chunk: Any) -> None:
        if reason := chunk.get("finish_reason") or chunk.get("stop_reason"):
            self._finish_reason = reason
        delta = chunk.get("delta")
        if isinstance(chunk.get("text"), str):
            self._add_text("content", chunk["text"])
        if delta is None and "message" in chunk:
            self._add_message(mapping(chunk["message"]))
        for key, value in mapping(delta).items():
            if isinstance(value, str):
                if value and key != "role":
                    self._add_text(key, value)
            elif key == "tool_calls":
                for call in items(value):
                    self._tool_calls.add(call)
            elif key == "function_call" and value:
                self._function_call = self._function_call or StreamedCall()
                self._function_call.add({"function": value})
            elif key == "content":
                self._add_parts(items(value))
            elif key == "audio":
                for field, piece in mapping(value).items():
                    self._audio.setdefault(field, []).append(piece)
            elif key in _LISTS:
                self._lists.setdefault(key, []).extend(items(value))

    def _add_text(self, key: str, text: str) -> None:
        if key == "content" and self._parts:
            self._add_parts([{"type": "text", "text": text}])
        else:
            self._texts.setdefault(key, []).append(text)

    def _add_parts(self, content: list[Json]) -> None:
        """Mistral's thinking models stream parts, each a few words of the one before."""
        if content and not self._parts and (words := self._texts.pop("content", None)):
            self._parts.append({"type": "text", "text": "".join(words)})
        for part in content:
            last = self._parts[-1] if self._parts else {}
            kind = word(mapping(part), "type")
            if kind == "thinking" and last.get("type") == kind:
                last[kind] = _lengthened(last.get(kind), part.get(kind))
            elif kind == "text" and last.get("type") == kind:
                last[kind] = f"{last.get(kind) or ''}{part.get(kind) or ''}"
            elif isinstance(part, dict):
                self._parts.append(dict(part))

    def _add_message(self, message: Any) -> None:
        """Some servers stream messages in place of deltas: each a piece, or all there is so far."""
        content, before = message.get("content"), "".join(self._texts.get("content", ()))
        if isinstance(content, str) and before and content.startswith(before):
            message = {**message, "content": content[len(before) :]}
        self.add({"delta": message})

    def folded(self) -> Json:
        message: dict[str, Any] = {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._parts:
            message["content"] = self._parts
        if calls := self._tool_calls.folded():
            message["tool_calls"] = calls
        if self._function_call is not None:
            message["function_call"] = mapping(self._function_call.folded()).get("function")
        if self._audio:
            message["audio"] = {key: _audio_field(key, pieces) for key, pieces in self._audio.items()}
        message.update(self._lists)
        return {"message": message, "finish_reason": self._finish_reason}


def _lengthened(thinking: Json, more: Json) -> Json:
    """What was thought, a text or a list of texts, with what follows."""
    if isinstance(thinking, str) and isinstance(more, str):
        return thinking + more
    return [*items(thinking), *items(more)]


def _audio_field(key: str, pieces: list[Any]) -> Json:
    """The sound and its transcript grow; the rest of an audio is told once or repeated."""
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if key == "data":
        return base64_pieces.join(texts)
    return "".join(texts) if key == "transcript" else pieces[-1]


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
