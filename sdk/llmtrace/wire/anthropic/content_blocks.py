"""Content blocks of Anthropic's messages to parts."""

from __future__ import annotations

from typing import Any

from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, items, mapping, word


def message(value: Json) -> Json:
    """One message, of either side."""
    raw_message = mapping(value)
    content = raw_message.get("content")
    if isinstance(content, str):
        parts = [message_parts.text(content)]
    else:
        parts = [block(mapping(content_block)) for content_block in items(content)]
    return message_parts.message(raw_message.get("role"), parts)


def block(value: Any) -> Json:
    """One content block."""
    kind = word(value, "type")
    if kind == "text":
        return message_parts.text(value.get("text"))
    if kind == "thinking":
        return message_parts.reasoning(value.get("thinking"))
    if kind == "redacted_thinking":
        return message_parts.reasoning("[redacted by the provider]")
    if kind == "tool_use":
        return message_parts.tool_call(value.get("id"), value.get("name"), value.get("input"))
    if kind == "tool_result":
        answer = message_parts.tool_response(value.get("tool_use_id"), _answer(value.get("content")))
        return {**answer, "is_error": True} if value.get("is_error") is True else answer
    if kind in {"image", "document"}:
        return _source(mapping(value.get("source")), kind)
    if kind == "compaction":
        return {"type": "compaction", "content": value.get("content")}
    if kind in {"server_tool_use", "mcp_tool_use"}:
        return message_parts.server_tool_call(value.get("id"), value.get("name"), dict(value))
    if kind.endswith("_tool_result"):
        return message_parts.server_tool_response(value.get("tool_use_id"), dict(value))
    return message_parts.unknown(dict(value))


def tool(value: Any) -> Json:
    """A tool's definition; the provider's own tools keep their settings."""
    kind = word(value, "type")
    if kind in {"", "custom"}:
        return message_parts.function(value.get("name"), value.get("description"), value.get("input_schema"))
    return dict(value)


def _source(source: Any, modality: str) -> Json:
    kind = word(source, "type")
    if kind == "base64":
        return message_parts.blob(modality, source.get("media_type"), source.get("data"))
    if kind == "url":
        return message_parts.uri(modality, source.get("url"))
    if kind == "file":
        return message_parts.file(modality, source.get("file_id"))
    if kind == "text":
        return message_parts.text(source.get("data"))
    return message_parts.unknown({"type": modality, "source": dict(source)})


def _answer(content: Json) -> Json:
    """A tool's answer: its text where it is only text; pictures as parts."""
    if not isinstance(content, list):
        return content
    parts = [block(mapping(content_block)) for content_block in content]
    if parts and all(part["type"] == "text" for part in parts):
        return "".join(str(part["content"]) for part in parts)
    return parts
