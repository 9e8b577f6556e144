"""The items of OpenAI Responses, which are input and output alike, to messages and parts."""

from __future__ import annotations

from typing import Any

from llmtrace.common.media import audio_type
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, either, items, mapping, word


def messages(request_input: Json) -> list[Json]:
    """The input of a request: a text, or items; neighbouring items of one role are one message."""
    if isinstance(request_input, str):
        return [message_parts.message("user", [message_parts.text(request_input)])]
    messages: list[Json] = []
    previous: Json = None
    for raw_item in map(mapping, items(request_input)):
        kind = word(raw_item, "type") or "message"
        role = _role(kind, raw_item)
        if kind == "message" or role != previous:
            messages.append({"role": role, "parts": []})
        messages[-1]["parts"].extend(item(raw_item))
        previous = None if kind == "message" else role
    return messages


def answers(output: Json) -> list[Json]:
    """The output of a response: all that the model said is one message; a compacted conversation keeps the
    messages of others apart."""
    messages: list[Json] = []
    of_model = False
    for raw_item in map(mapping, items(output)):
        role = "assistant"
        if (word(raw_item, "type") or "message") == "message":
            role = word(raw_item, "role") or role
        if not (of_model and role == "assistant"):
            messages.append(message_parts.message(role, []))
        of_model = role == "assistant"
        messages[-1]["parts"].extend(item(raw_item))
    return messages


def _role(kind: str, value: Any) -> str:
    if kind == "message":
        role = value.get("role")
        return role if isinstance(role, str) else "user"
    return "tool" if kind.endswith("_output") or kind == "mcp_approval_response" else "assistant"


def item(value: Any) -> list[Json]:
    """The parts of one item."""
    kind = word(value, "type") or "message"
    if kind == "message":
        return _content(value.get("content"))
    if kind == "function_call":
        return [message_parts.tool_call(value.get("call_id"), value.get("name"), value.get("arguments"))]
    if kind == "custom_tool_call":
        call = message_parts.tool_call(value.get("call_id"), value.get("name"), None)
        return [{**call, "arguments": value.get("input")}]
    if kind in {"computer_call", "local_shell_call", "shell_call", "apply_patch_call"}:
        actions = either(value, "actions", "action", "operation")
        return [message_parts.tool_call(value.get("call_id"), kind.removesuffix("_call"), actions)]
    if kind.endswith("_output"):
        return [message_parts.tool_response(value.get("call_id"), _answer(value.get("output")))]
    if kind == "reasoning":
        texts = [mapping(part).get("text") for part in items(value.get("content"))]
        texts = texts or [mapping(part).get("text") for part in items(value.get("summary"))]
        return [message_parts.reasoning(text) for text in texts if isinstance(text, str)]
    if kind == "compaction":
        return [{"type": "compaction", "id": value.get("id")}]
    if kind == "image_generation_call":
        mime = f"image/{value.get('output_format') or 'png'}"
        return [message_parts.blob("image", mime, value.get("result"))]
    if kind.endswith("_call"):
        return [message_parts.server_tool_call(value.get("id"), kind.removesuffix("_call"), dict(value))]
    return [message_parts.unknown(dict(value))]


def _content(content: Json) -> list[Json]:
    if isinstance(content, str):
        return [message_parts.text(content)]
    return [_part(mapping(part)) for part in items(content)]


def _part(part: Any) -> Json:
    kind = word(part, "type")
    if kind in {"input_text", "output_text", "text", "summary_text"}:
        return message_parts.text(part.get("text"))
    if kind == "refusal":
        return {"type": "refusal", "content": part.get("refusal")}
    if kind in {"input_image", "input_file", "computer_screenshot"}:
        modality = "document" if kind == "input_file" else "image"
        if part.get("file_id"):
            return message_parts.file(modality, part["file_id"])
        return message_parts.reference(either(part, "image_url", "file_url", "file_data"), modality)
    if kind == "input_audio":
        audio = mapping(part.get("input_audio")) or part
        return message_parts.blob("audio", audio_type(audio.get("format")), audio.get("data"))
    if kind == "output_audio":
        return message_parts.blob("audio", None, part.get("data"))
    return message_parts.unknown(dict(part))


def _answer(output: Json) -> Json:
    """A tool's answer: its text where it is only text; pictures as parts."""
    if isinstance(output, dict):
        return _part(output) if output.get("type") == "computer_screenshot" else output
    if not isinstance(output, list):
        return output
    parts = [_part(mapping(part)) for part in output]
    if parts and all(part["type"] == "text" for part in parts):
        return "".join(str(part["content"]) for part in parts)
    return parts
