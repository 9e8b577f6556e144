"""Messages and tools of chat completions, and of the APIs that borrowed them (Mistral, Cohere)."""

from __future__ import annotations

from typing import Any

from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, either, items, mapping, word
from llmtrace.wire.render import url_part


def message(value: Json) -> Json:
    """One message, of either side."""
    sent = mapping(value)
    role = word(sent, "role") or "user"
    content = sent.get("content")
    if role in {"tool", "function"}:
        answer = message_parts.tool_response(sent.get("tool_call_id"), _plain(content))
        made: dict[str, Any] = {"role": "tool", "parts": [answer]}
    else:
        made = {"role": role, "parts": _parts(sent, content)}
    if name := sent.get("name"):
        made["name"] = name
    return made


def tools(sent: Any) -> list[Json]:
    """Definitions of the tools a request offers."""
    return [_tool(each) for each in items(sent.get("tools")) + items(sent.get("functions"))]


def _parts(sent: Any, content: Json) -> list[Json]:
    made: list[Json] = []
    thought = either(sent, "reasoning_content", "reasoning", "tool_plan")
    if isinstance(thought, str) and thought:
        made.append(message_parts.reasoning(thought))
    if isinstance(content, str):
        if content:
            made.append(message_parts.text(content))
    else:
        made.extend(_part(each) for each in items(content))
    if refusal := sent.get("refusal"):
        made.append({"type": "refusal", "content": refusal})
    if audio := mapping(sent.get("audio")):
        blob = message_parts.blob("audio", None, audio.get("data"))
        made.append({**blob, **{key: each for key, each in audio.items() if key != "data"}})
    made.extend(_tool_call(each) for each in items(sent.get("tool_calls")))
    if call := mapping(sent.get("function_call")):
        made.append(_tool_call({"function": call}))
    return made


def _part(value: Json) -> Json:
    if isinstance(value, str):
        return message_parts.text(value)
    part = mapping(value)
    kind = word(part, "type")
    if kind == "text":
        return message_parts.text(part.get("text"))
    if kind == "thinking":
        thought = part.get("thinking")  # Cohere: a text; Mistral: a list of texts
        texts = [str(mapping(each).get("text", "")) for each in items(thought)]
        return message_parts.reasoning("".join(texts) if texts else thought)
    if kind in {"image_url", "document_url"}:
        given = part.get(kind)
        url = mapping(given).get("url") if isinstance(given, dict) else given
        return url_part(url, "image" if kind == "image_url" else "document")
    if kind == "input_audio":
        given = part.get("input_audio")
        if isinstance(given, str):
            return url_part(given, "audio") if ":" in given[:8] else message_parts.blob("audio", None, given)
        audio = mapping(given)
        return message_parts.blob("audio", f"audio/{audio.get('format')}", audio.get("data"))
    if kind == "file":
        file = mapping(part.get("file"))
        if found := file.get("file_id") or part.get("file_id"):
            return message_parts.file("document", found)
        return url_part(file.get("file_data"), "document")
    if kind == "refusal":
        return {"type": "refusal", "content": part.get("refusal")}
    return message_parts.unknown(part)


def _tool_call(value: Json) -> Json:
    call = mapping(value)
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    given = function.get("arguments") if "arguments" in function else function.get("input")
    return message_parts.tool_call(call.get("id"), function.get("name"), given)


def _plain(content: Json) -> Json:
    """A tool's answer: its text where it is only text."""
    given = items(content)
    if given and all(mapping(each).get("type") == "text" for each in given):
        return "".join(str(each.get("text")) for each in given)
    return content


def _tool(value: Json) -> Json:
    tool = mapping(value)
    inner = mapping(tool.get("function")) or mapping(tool.get("custom")) or tool
    if "name" not in inner:
        return {"name": word(tool, "type"), **tool}  # a tool of the provider's own
    return message_parts.function(
        inner.get("name"), inner.get("description"), inner.get("parameters"), tool.get("type")
    )
