"""GenAI messages (JSON of the semantic conventions) as turns for the messages part; all of it untrusted."""

from __future__ import annotations

import json
import re
from typing import Any, Final

#: Characters of one part that are sent to the browser; the JSON tab has all of it.
MAX_TEXT = 60_000

#: Media of one call that are looked up.
_MOST_MEDIA = 24
#: As a field of a part, or in the text that stands for data.
_DIGEST: Final = re.compile(r'(?:"sha256": ?"|sha256 )([0-9a-f]{64})')

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
        conversation.append(turn("system", _parts(_read(system)), "instructions"))
    definitions = _read(tools) if tools else []
    if isinstance(definitions, list) and definitions:
        names = [str(tool.get("name", "unnamed")) for tool in definitions if isinstance(tool, dict)]
        conversation.append(
            turn("Tools on offer", [message_part("tools", body=", ".join(names))], "", side="system")
        )
    for text, note in ((input_messages, ""), (output_messages, "answer")):
        if text:
            conversation += _messages(_read(text), note)
    return conversation


def _messages(value: Any, note: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return [turn("Message", [_body(value)], note)]
    message_turns = []
    for message in value:
        if not isinstance(message, dict):
            message_turns.append(turn("Message", [_body(message)], note))
            continue
        parts = message.get("parts", message.get("content"))
        finish = message.get("finish_reason")
        remark = ", ".join(
            str(part) for part in (message.get("name"), note, finish and f"finished by {finish}") if part
        )
        message_turns.append(turn(str(message.get("role", "message")), _parts(parts), remark))
    return message_turns


def turn(role: str, parts: list[dict[str, Any]], note: str, side: str = "") -> dict[str, Any]:
    """A turn of the conversation, of a side: system, user, assistant or tool."""
    return {
        "role": _ROLES.get(role, role),
        "side": side or (role if role in _ROLES else "system"),
        "note": note,
        "parts": parts or [message_part("empty", note="no content")],
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
        return message_part("call", f"Calls {name}{reference}", _json(arguments), code=True)
    if kind in ("tool_call_response", "server_tool_call_response"):
        result = part.get("response", part.get("result", part.get("server_tool_call_response")))
        return message_part("call", f"Tool result{reference}", _json(result), code=True)
    if kind in ("blob", "file", "uri"):
        what = part.get("mime_type") or part.get("modality") or kind
        where = part.get("uri") or part.get("file_id")
        note = _media_note(part) if kind == "blob" else ""
        return message_part("media", f"Attached {what}", str(where or ""), code=True, note=note)
    return message_part("other", kind or "Part", _json(part), code=True)


def _media_note(part: dict[str, Any]) -> str:
    """Size and digest; of senders that send the data itself, its size."""
    size, digest = part.get("size"), part.get("sha256")
    if not isinstance(size, int):
        return f"{len(str(part.get('content', ''))) * 3 // 4:,} bytes, not shown"
    return f"{size:,} bytes" + (f", sha256 {digest}" if digest else "")


def digests(*texts: str) -> list[str]:
    """The digests (SHA-256, hexadecimal) of media that messages, JSON texts, tell of, each once, in order."""
    return list(dict.fromkeys(digest for text in texts for digest in _DIGEST.findall(text)))[:_MOST_MEDIA]


def text_turn(role: str, side: str, text: str) -> dict[str, Any]:
    """A turn of one text, shown as JSON where it is some."""
    value = _read(text)
    words = value if isinstance(value, str) else _json(value)
    return turn(role, [message_part("text", body=words, code=not isinstance(value, str))], "", side=side)


def _body(value: Any) -> dict[str, Any]:
    return message_part(
        "text", body=value if isinstance(value, str) else _json(value), code=not isinstance(value, str)
    )


def message_part(
    kind: str, title: str = "", body: str = "", code: bool = False, note: str = ""
) -> dict[str, Any]:
    """A part of a turn; `code` is shown as it stands."""
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
