"""OpenAI chat completions, spoken by OpenAI, Azure OpenAI, Groq, DeepSeek, Mistral, xAI, vLLM and many more.

`POST …/chat/completions`; Azure puts the model in the path (`/openai/deployments/{model}/chat/completions`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from .. import semconv
from .base import Json, Translation, WireFormat, items, mapping, parsed, put_float, put_int, put_text
from .content import media, url_part

_FINISH_REASONS: Final = {"tool_calls": "tool_call", "function_call": "tool_call"}
_OUTPUT_TYPES: Final = {"text": "text", "json_object": "json", "json_schema": "json"}


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    return path.endswith("/chat/completions") and b'"messages"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    sent = mapping(body)
    translation = Translation()
    put = translation.attributes
    put[semconv.OPENAI_API_TYPE] = "chat_completions"
    put_text(put, semconv.REQUEST_MODEL, sent.get("model") or _deployment(path))
    put_float(put, semconv.REQUEST_TEMPERATURE, sent.get("temperature"))
    put_float(put, semconv.REQUEST_TOP_P, sent.get("top_p"))
    limit = sent.get("max_completion_tokens")
    put_int(put, semconv.REQUEST_MAX_TOKENS, sent.get("max_tokens") if limit is None else limit)
    put_int(put, semconv.REQUEST_SEED, sent.get("seed"))
    put_float(put, semconv.REQUEST_FREQUENCY_PENALTY, sent.get("frequency_penalty"))
    put_float(put, semconv.REQUEST_PRESENCE_PENALTY, sent.get("presence_penalty"))
    put_text(put, semconv.REQUEST_REASONING_LEVEL, sent.get("reasoning_effort"))
    stop = sent.get("stop")
    stops = [stop] if isinstance(stop, str) else [each for each in items(stop) if isinstance(each, str)]
    if stops:
        put[semconv.REQUEST_STOP_SEQUENCES] = stops
    if sent.get("n") != 1:
        put_int(put, semconv.REQUEST_CHOICE_COUNT, sent.get("n"))
    if sent.get("stream") is True:
        put[semconv.REQUEST_STREAM] = True
    kind = mapping(sent.get("response_format")).get("type")
    if isinstance(kind, str) and kind in _OUTPUT_TYPES:
        put[semconv.OUTPUT_TYPE] = _OUTPUT_TYPES[kind]
    if sent.get("service_tier") != "auto":
        put_text(put, semconv.OPENAI_REQUEST_SERVICE_TIER, sent.get("service_tier"))
    put_text(put, semconv.USER_ID, sent.get("safety_identifier") or sent.get("user"))
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [_message(each) for each in items(sent.get("messages"))]
        tools = [_tool(each) for each in items(sent.get("tools")) + items(sent.get("functions"))]
        if tools:
            translation.content[semconv.TOOL_DEFINITIONS] = tools
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes."""
    received = mapping(body)
    translation = Translation()
    put = translation.attributes
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    put_text(put, semconv.OPENAI_RESPONSE_SERVICE_TIER, received.get("service_tier"))
    put_text(put, semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT, received.get("system_fingerprint"))
    _usage(put, mapping(received.get("usage")))
    choices = [mapping(each) for each in items(received.get("choices"))]
    if choices:
        put[semconv.RESPONSE_FINISH_REASONS] = [_finish_reason(each.get("finish_reason")) for each in choices]
    if content and choices:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            _message({"role": "assistant", **mapping(each.get("message"))}) for each in choices
        ]
    return translation


def fold(events: Iterable[Json]) -> Json:
    """Chunks to the completion they add up to."""
    body: dict[str, Any] = {}
    choices: dict[int, _Choice] = {}
    for event in events:
        if not isinstance(event, dict):
            continue
        for key in ("id", "model", "service_tier", "system_fingerprint", "error"):
            if value := event.get(key):
                body[key] = value
        # Groq sends the usage of a stream under a key of its own.
        if usage := event.get("usage") or mapping(event.get("x_groq")).get("usage"):
            body["usage"] = usage
        for chunk in items(event.get("choices")):
            index = mapping(chunk).get("index", 0)
            choice = choices.get(index)
            if choice is None:
                choice = choices[index] = _Choice()
            choice.add(mapping(chunk))
    if choices:
        body["choices"] = [choices[index].folded() for index in sorted(choices, key=_position)]
    return body


class _Choice:
    """One choice of a stream, being put together."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._tool_calls: dict[Any, dict[str, Any]] = {}
        self._finish_reason: Json = None

    def add(self, chunk: Any) -> None:
        if reason := chunk.get("finish_reason"):
            self._finish_reason = reason
        for key, value in mapping(chunk.get("delta")).items():
            if key == "tool_calls":
                for call in items(value):
                    self._add_call(mapping(call).get("index", len(self._tool_calls)), mapping(call))
            elif key == "function_call" and value:
                self._add_call("function_call", {"function": value})
            elif key != "role" and isinstance(value, str) and value:
                self._texts.setdefault(key, []).append(value)

    def _add_call(self, index: Any, delta: Any) -> None:
        call = self._tool_calls.setdefault(index, {"id": None, "function": {"name": "", "arguments": ""}})
        call["id"] = delta.get("id") or call["id"]
        function = mapping(delta.get("function")) or mapping(delta.get("custom"))
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or function.get("input") or ""

    def folded(self) -> Json:
        message: dict[str, Any] = {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._tool_calls:
            message["tool_calls"] = list(self._tool_calls.values())
        return {"message": message, "finish_reason": self._finish_reason}


def _position(index: Json) -> int:
    return index if isinstance(index, int) else 0


def _usage(put: dict[str, AttributeValue], usage: Any) -> None:
    details = mapping(usage.get("prompt_tokens_details"))
    produced = mapping(usage.get("completion_tokens_details"))
    put_int(put, semconv.USAGE_INPUT_TOKENS, usage.get("prompt_tokens"))
    put_int(put, semconv.USAGE_OUTPUT_TOKENS, _output_tokens(usage, produced.get("reasoning_tokens")))
    cached = details.get("cached_tokens")
    # DeepSeek counts cache hits beside the details.
    put_int(
        put,
        semconv.USAGE_CACHE_READ_INPUT_TOKENS,
        usage.get("prompt_cache_hit_tokens") if cached is None else cached,
    )
    put_int(put, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, details.get("cache_write_tokens"))
    put_int(put, semconv.USAGE_REASONING_OUTPUT_TOKENS, produced.get("reasoning_tokens"))
    put_int(put, semconv.USAGE_AUDIO_INPUT_TOKENS, details.get("audio_tokens") or None)
    put_int(put, semconv.USAGE_AUDIO_OUTPUT_TOKENS, produced.get("audio_tokens") or None)


def _output_tokens(usage: Any, reasoning: Json) -> Json:
    """Output including reasoning: xAI reports the two side by side, which its own total gives away."""
    prompt, completion, total = (
        usage.get(key) for key in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    if (
        type(reasoning) is int
        and reasoning > 0
        and type(prompt) is type(completion) is int
        and prompt + completion + reasoning == total
    ):
        return completion + reasoning
    return completion


def _finish_reason(reason: Json) -> str:
    # The convention's word for "a reason was expected and none came".
    return _FINISH_REASONS.get(reason, reason) if isinstance(reason, str) and reason else "error"


def _message(value: Json) -> Json:
    sent = mapping(value)
    role = sent.get("role")
    content = sent.get("content")
    if role in {"tool", "function"}:
        answer = {"type": "tool_call_response", "id": sent.get("tool_call_id"), "response": _plain(content)}
        message: dict[str, Any] = {"role": "tool", "parts": [answer]}
    else:
        parts: list[Json] = []
        thought = sent.get("reasoning_content") or sent.get("reasoning")
        if isinstance(thought, str):
            parts.append({"type": "reasoning", "content": thought})
        if isinstance(content, str):
            if content:
                parts.append({"type": "text", "content": content})
        else:
            parts.extend(_part(each) for each in items(content))
        if refusal := sent.get("refusal"):
            parts.append({"type": "refusal", "content": refusal})
        if audio := mapping(sent.get("audio")):
            parts.append({"type": "blob", "modality": "audio", **audio, "content": media(audio.get("data"))})
            parts[-1].pop("data", None)
        parts.extend(_tool_call(each) for each in items(sent.get("tool_calls")))
        if call := mapping(sent.get("function_call")):
            parts.append(_tool_call({"function": call}))
        message = {"role": role if isinstance(role, str) else "user", "parts": parts}
    if name := sent.get("name"):
        message["name"] = name
    return message


def _part(value: Json) -> Json:
    if isinstance(value, str):
        return {"type": "text", "content": value}
    part = mapping(value)
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "content": part.get("text")}
    if kind == "image_url":
        image = part.get("image_url")
        return url_part(mapping(image).get("url") if isinstance(image, dict) else image, "image")
    if kind == "input_audio":
        audio = mapping(part.get("input_audio"))
        return {
            "type": "blob",
            "modality": "audio",
            "mime_type": f"audio/{audio.get('format')}",
            "content": media(audio.get("data")),
        }
    if kind == "file":
        file = mapping(part.get("file"))
        if file.get("file_id"):
            return {"type": "file", "modality": "document", "file_id": file["file_id"]}
        return url_part(file.get("file_data"), "document")
    if kind == "refusal":
        return {"type": "refusal", "content": part.get("refusal")}
    return {"type": "unknown", **part}


def _tool_call(value: Json) -> Json:
    call = mapping(value)
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    given = function.get("arguments") if "arguments" in function else function.get("input")
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": parsed(given),
    }


def _plain(content: Json) -> Json:
    """A tool's answer: its text where it is only text."""
    parts = items(content)
    if parts and all(mapping(each).get("type") == "text" for each in parts):
        return "".join(str(each.get("text")) for each in parts)
    return content


def _tool(value: Json) -> Json:
    tool = mapping(value)
    inner = mapping(tool.get("function")) or mapping(tool.get("custom")) or tool
    return {
        "type": tool.get("type") or "function",
        "name": inner.get("name"),
        "description": inner.get("description"),
        "parameters": inner.get("parameters"),
    }


def _deployment(path: str) -> str | None:
    _, found, rest = path.partition("/deployments/")
    return rest.partition("/")[0] if found else None


FORMAT: Final = WireFormat(
    provider="openai", operation="chat", matches=matches, request=request, response=response, fold=fold
)
