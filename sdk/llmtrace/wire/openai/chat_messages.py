"""Messages and tools of chat completions, and of the APIs that borrowed them (Mistral, Cohere)."""

from __future__ import annotations

from typing import Any

from llmtrace.common.media import audio_type
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, either, items, mapping, word


def message(value: Json) -> Json:
    """One message, of either side."""
    raw_message = mapping(value)
    role = word(raw_message, "role") or "user"
    content = raw_message.get("content")
    if role in {"tool", "function"}:
        answer = message_parts.tool_response(raw_message.get("tool_call_id"), _plain(content))
        message: dict[str, Any] = {"role": "tool", "parts": [answer]}
    else:
        message = {"role": role, "parts": _parts(raw_message, content)}
    if name := raw_message.get("name"):
        message["name"] = name
    return message


def tools(payload: Any) -> list[Json]:
    """Definitions of the tools a request offers."""
    return [_tool(definition) for definition in items(payload.get("tools")) + items(payload.get("functions"))]


def _parts(raw_message: Any, content: Json) -> list[Json]:
    parts: list[Json] = []
    reasoning = either(raw_message, "reasoning_content", "reasoning", "tool_plan")
    if isinstance(reasoning, str) and reasoning:
        parts.append(message_parts.reasoning(reasoning))
    if isinstance(content, str):
        if content:
            parts.append(message_parts.text(content))
    else:
        parts.extend(_part(raw_part) for raw_part in items(content))
    if refusal := raw_message.get("refusal"):
        parts.append({"type": "refusal", "content": refusal})
    if audio := mapping(raw_message.get("audio")):
        blob = message_parts.blob("audio", None, audio.get("data"))
        parts.append({**blob, **{key: value for key, value in audio.items() if key != "data"}})
    parts.extend(_tool_call(tool_call) for tool_call in items(raw_message.get("tool_calls")))
    if call := mapping(raw_message.get("function_call")):
        parts.append(_tool_call({"function": call}))
    return parts


def _part(value: Json) -> Json:
    if isinstance(value, str):
        return message_parts.text(value)
    part = mapping(value)
    kind = word(part, "type")
    if kind == "text":
        return message_parts.text(part.get("text"))
    if kind == "thinking":
        thinking = part.get("thinking")  # Cohere: a text; Mistral: a list of texts
        texts = [str(mapping(chunk).get("text", "")) for chunk in items(thinking)]
        return message_parts.reasoning("".join(texts) if texts else thinking)
    if kind in {"image_url", "document_url"}:
        reference = part.get(kind)
        url = mapping(reference).get("url") if isinstance(reference, dict) else reference
        return message_parts.reference(url, "image" if kind == "image_url" else "document")
    if kind == "input_audio":
        audio = part.get("input_audio")
        if isinstance(audio, str):
            if ":" in audio[:8]:
                return message_parts.reference(audio, "audio")
            return message_parts.blob("audio", None, audio)
        audio = mapping(audio)
        return message_parts.blob("audio", audio_type(audio.get("format")), audio.get("data"))
    if kind == "file":
        file = mapping(part.get("file"))
        if file_id := file.get("file_id") or part.get("file_id"):
            return message_parts.file("document", file_id)
        return message_parts.reference(file.get("file_data"), "document")
    if kind == "refusal":
        return {"type": "refusal", "content": part.get("refusal")}
    return message_parts.unknown(part)


def _tool_call(value: Json) -> Json:
    call = mapping(value)
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    arguments = function.get("arguments") if "arguments" in function else function.get("input")
    return message_parts.tool_call(call.get("id"), function.get("name"), arguments)


def _plain(content: Json) -> Json:
    """A tool's answer: its text where it is only text."""
    parts = items(content)
    if parts and all(mapping(part).get("type") == "text" for part in parts):
        return "".join(str(part.get("text")) for part in parts)
    return content


def _tool(value: Json) -> Json:
    tool = mapping(value)
    inner = mapping(tool.get("function")) or mapping(tool.get("custom")) or tool
    if "name" not in inner:
        return {"name": word(tool, "type"), **tool}  # a tool of the provider's own
    return message_parts.function(
        inner.get("name"), inner.get("description"), inner.get("parameters"), tool.get("type")
    )
