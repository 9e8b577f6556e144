"""Message JSON (`gen_ai.input.messages`, `gen_ai.output.messages`) → the text that a person reads. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def messages_text(messages: str, role: str) -> str:
    """The text of the last message of `role`, of the last message where none has it.

    Text that is no message JSON, such as one that was cut, is given as it is.
    """
    try:
        parsed = json.loads(messages)
    except ValueError:
        return messages
    if not isinstance(parsed, list):
        return messages
    message_objects = [message for message in parsed if isinstance(message, Mapping)]
    if not message_objects:
        return messages if parsed else ""
    of_role = [message for message in message_objects if message.get("role") == role]
    return _message_text((of_role or message_objects)[-1])


def _message_text(message: Mapping[str, Any]) -> str:
    parts = message.get("parts", message.get("content", ""))
    if not isinstance(parts, list):
        parts = [parts]
    return "\n".join(text for text in map(_part_text, parts) if text)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return "" if part is None else _compact(part)
    kind = part.get("type", "text")
    if kind == "tool_call":
        return f"{part.get('name', '')}({_compact(part.get('arguments', {}))})"
    if kind == "tool_call_response":
        return _compact(part.get("response", part.get("result", "")))
    for field in ("content", "text"):
        if isinstance(part.get(field), str) and kind in ("text", "reasoning"):
            return str(part[field])
    # Images, files and the like: what it is, never its bytes.
    return f"[{part.get('modality', kind)}]"


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
