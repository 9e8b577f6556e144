"""Messages and tools of chat completions, and of the APIs that borrowed them (Mistral, Cohere)."""

from __future__ import annotations

from typing import Any, Final

from llmtrace.common.media import audio_type
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, items, mapping, word

_THOUGHTS: Final = ("reasoning_content", "reasoning", "tool_plan")


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
    if isinstance(content, str) and len(raw_message) == 2 and "role" in raw_message:
        return [message_parts.text(content)] if content else []  # most messages are no more than this
    parts: list[Json] = []
    if reasoning := _reasoning(raw_message):
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
    if images := raw_message.get("images"):
        parts.extend(_part(image) for image in items(images) if isinstance(image, dict))
    parts.extend(_tool_call(tool_call) for tool_call in items(raw_message.get("tool_calls")))
    if call := mapping(raw_message.get("function_call")):
        parts.append(_tool_call({"function": call}))
    return parts


def _reasoning(raw_message: Any) -> str:
    """What was thought before the answer: the first of its fields that says something."""
    for key in _THOUGHTS:
        if (text := raw_message.get(key)) and isinstance(text, str):
            return text
    details = raw_message.get("reasoning_details")  # MiniMax; OpenRouter, which tells thoughts twice
    if not details:
        return ""
    texts = [word(detail, "text") or word(detail, "summary") for detail in map(mapping, items(details))]
    return "".join(texts)


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
    if custom := mapping(call.get("custom")):  # its input is any text, and stays it
        part = message_parts.tool_call(call.get("id"), custom.get("name"), None)
        return {**part, "arguments": custom.get("input")}
    function = mapping(call.get("function"))
    return message_parts.tool_call(call.get("id"), function.get("name"), function.get("arguments"))


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
