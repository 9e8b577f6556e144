"""GenAI messages (JSON of the semantic conventions) as turns for the messages part; all of it untrusted."""

from __future__ import annotations

import json
from typing import Any

#: Characters of one part that are sent to the browser; the JSON tab has all of it.
MAX_TEXT = 60_000

_ROLES = {
    "system": "System",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
    "developer": "Developer",
}


def turns(system: str, input_messages: str, output_messages: str, tools: str) -> list[dict[str, Any]]:
    """The conversation of one call in order: instructions, tools on offer, input, output.

    Each argument is the JSON text of its column, or ''. Text that is not the JSON expected is shown as it is.
    """
    conversation: list[dict[str, Any]] = []
    if system:
        conversation.append(_turn("system", _parts(_read(system)), "instructions"))
    definitions = _read(tools) if tools else []
    if isinstance(definitions, list) and definitions:
        names = [str(tool.get("name", "unnamed")) for tool in definitions if isinstance(tool, dict)]
        conversation.append(
            _turn("Tools on offer", [_part("tools", body=", ".join(names))], "", side="system")
        )
    for text, note in ((input_messages, ""), (output_messages, "answer")):
        if text:
            conversation += _messages(_read(text), note)
    return conversation


def _messages(value: Any, note: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return [_turn("Message", [_body(value)], note)]
    message_turns = []
    for message in value:
        if not isinstance(message, dict):
            message_turns.append(_turn("Message", [_body(message)], note))
            continue
        parts = message.get("parts", message.get("content"))
        finish = message.get("finish_reason")
        remark = ", ".join(
            str(part) for part in (message.get("name"), note, finish and f"finished by {finish}") if part
        )
        message_turns.append(_turn(str(message.get("role", "message")), _parts(parts), remark))
    return message_turns


def _turn(role: str, parts: list[dict[str, Any]], note: str, side: str = "") -> dict[str, Any]:
    return {
        "role": _ROLES.get(role, role),
        "side": side or (role if role in _ROLES else "system"),
        "note": note,
        "parts": parts or [_part("empty", note="no content")],
    }


def _parts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [_render_part(part) for part in value]
    return [] if value is None else [_body(value)]


def _render_part(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return _body(part)
    kind = str(part.get("type", ""))
    name, call = part.get("name"), part.get("id")
    reference = f" · {call}" if call else ""
    if kind == "text":
        return _body(part.get("content"))
    if kind == "reasoning":
        return {**_body(part.get("content")), "kind": "reasoning", "title": "Reasoning"}
    if kind in ("tool_call", "server_tool_call"):
        arguments = part.get("arguments", part.get("server_tool_call"))
        return _part("call", f"Calls {name}{reference}", _json(arguments), code=True)
    if kind in ("tool_call_response", "server_tool_call_response"):
        result = part.get("response", part.get("result", part.get("server_tool_call_response")))
        return _part("call", f"Tool result{reference}", _json(result), code=True)
    if kind in ("blob", "file", "uri"):
        what = part.get("mime_type") or part.get("modality") or kind
        where = part.get("uri") or part.get("file_id")
        size = f"{len(str(part.get('content', ''))) * 3 // 4:,} bytes, not shown" if kind == "blob" else ""
        return _part("media", f"Attached {what}", str(where or ""), code=True, note=size)
    return _part("other", kind or "Part", _json(part), code=True)


def _body(value: Any) -> dict[str, Any]:
    return _part(
        "text", body=value if isinstance(value, str) else _json(value), code=not isinstance(value, str)
    )


def _part(kind: str, title: str = "", body: str = "", code: bool = False, note: str = "") -> dict[str, Any]:
    if len(body) > MAX_TEXT:
        note = f"The first {MAX_TEXT:,} of {len(body):,} characters; the JSON tab has all of them."
        body = body[:MAX_TEXT]
    return {"kind": kind, "title": title, "body": body, "code": code, "note": note}


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _json(value: Any) -> str:
    if isinstance(value, str):
        # Arguments often are JSON in a string.
        value = _read(value)
        if isinstance(value, str):
            return value
    return json.dumps(value, indent=2, ensure_ascii=False)
