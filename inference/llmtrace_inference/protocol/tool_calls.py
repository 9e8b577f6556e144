"""Tool calls out of text that arrives bit by bit.

The form is the one most chat templates ask for: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field

from .json_text import parse_object

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function; `arguments` is JSON text of an object."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")

    def body(self) -> dict[str, object]:
        """As OpenAI's API writes it."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


class ToolCallParser:
    """Splits an answer into visible text and complete calls. What does not parse stays text."""

    def __init__(self) -> None:
        self._held = ""
        self._called = False

    def feed(self, text: str) -> tuple[str, list[ToolCall]]:
        """(text that is visible now, calls that are complete now)."""
        held = self._held + text
        visible, calls = "", []
        while True:
            at = held.find(OPEN)
            if at < 0:
                keep = _beginning_of_marker(held)
                visible += held[: len(held) - keep]
                self._held = held[len(held) - keep :]
                break
            visible, held = visible + held[:at], held[at:]
            end = held.find(CLOSE)
            if end < 0:
                self._held = held
                break
            whole, held = held[: end + len(CLOSE)], held[end + len(CLOSE) :]
            call = _parse(whole[len(OPEN) : -len(CLOSE)])
            if call is None:
                visible += whole
            else:
                calls.append(call)
        # White space around calls is the format's, not the answer's.
        if (self._called or calls) and not visible.strip():
            visible = ""
        self._called = self._called or bool(calls)
        return visible, calls

    def flush(self) -> str:
        """What was held back and never became a call."""
        held, self._held = self._held, ""
        return "" if self._called and not held.strip() else held


def _parse(text: str) -> ToolCall | None:
    try:
        value = parse_object(text)
    except ValueError:
        return None
    if not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", {})
    if not isinstance(arguments, dict):
        return None
    return ToolCall(value["name"], json.dumps(arguments, ensure_ascii=False))


def _beginning_of_marker(text: str) -> int:
    for size in range(min(len(text), len(OPEN) - 1), 0, -1):
        if OPEN.startswith(text[-size:]):
            return size
    return 0
