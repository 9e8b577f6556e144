"""Prompt injection in what users and tools send: which texts of a call are read, and who sent a match."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llmtrace.safety.patterns import match

_ROLES = frozenset({"user", "tool", "function"})


@dataclass(frozen=True)
class PatternMatch:
    """One call whose new messages match; `at` in Unix seconds."""

    project: str
    user: str
    at: float
    trace_id: str
    span_id: str
    patterns: tuple[str, ...]


def newest_texts(messages: str, cut: bool = False) -> list[str]:
    """What the user and the tools say in a call's newest turn.

    `messages`: `gen_ai.input.messages` JSON. Everything after the assistant's last message is new; what
    was said before it was read with its own call. `cut`: only the end of the JSON is there, which is
    then one text as it stands. Anything else that cannot be read gives no text.
    """
    if cut:
        return [messages.replace("\\n", "\n").replace('\\"', '"')]
    try:
        parsed = json.loads(messages)
    except ValueError:
        return []
    if not isinstance(parsed, list):
        return []
    texts: list[str] = []
    for message in reversed(parsed):
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        if role == "assistant":
            break
        if role in _ROLES:
            texts.extend(_part_texts(message))
    texts.reverse()
    return texts


def _part_texts(message: dict[str, Any]) -> Iterator[str]:
    parts = message.get("parts")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            for name in ("content", "response", "result"):
                value = part.get(name)
                if isinstance(value, str):
                    yield value
                elif isinstance(value, (dict, list)):
                    yield json.dumps(value, ensure_ascii=False)


def scan(messages: str, cut: bool = False) -> tuple[str, ...]:
    """Names of the patterns that a call's new user and tool messages match, sorted."""
    return tuple(sorted({name for text in newest_texts(messages, cut) for name in match(text)}))
