"""Prompt-injection patterns in what users and tools send. Precise rather than complete.

The texts are hostile: patterns run on google-re2, whose time is linear in the text, over a bounded part of
it. Texts are never logged or copied; a match carries names of patterns and ids.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import re2

#: Characters of one message part that are read: its beginning and its end, half each.
_PART_CHARACTERS = 20_000

_ROLES = frozenset({"user", "tool", "function"})

#: Letters of other scripts that look like Latin ones; only words mixed with Latin letters are folded.
LOOKALIKES = str.maketrans("аеорсухіјѕԁһӏνοραιτκ", "aeopcyxijsdhlvopaitk")


@dataclass(frozen=True)
class PatternMatch:
    """One call whose new messages match; `at` in Unix seconds."""

    project: str
    user: str
    at: float
    trace_id: str
    span_id: str
    patterns: tuple[str, ...]


class _Folded(dict[int, str]):
    """Code point → what it becomes, worked out when it is first met."""

    def __missing__(self, number: int) -> str:
        folded = "".join(
            character
            for character in unicodedata.normalize("NFKD", chr(number)).casefold()
            # Cf: zero-width and bidirectional marks, soft hyphens, tags; Mn: accents and stacked marks.
            if unicodedata.category(character) not in ("Cf", "Mn")
        )
        self[number] = folded.replace("’", "'").replace("‘", "'")
        return self[number]


_FOLDED = _Folded()


def fold(text: str) -> str:
    """Compatibility forms, accents, invisible marks and case folded, each character by itself."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)


def normalise(text: str) -> str:
    """Text as the patterns see it: folded, spaces and letters that look alike too."""
    if len(text) > _PART_CHARACTERS:
        # No pattern reaches over what is left out by a space alone.
        text = text[: _PART_CHARACTERS // 2] + "\n\0\n" + text[-_PART_CHARACTERS // 2 :]
    words = fold(text).split()
    return " ".join(word.translate(LOOKALIKES) if _is_mixed(word) else word for word in words)


def _is_mixed(word: str) -> bool:
    return not word.isascii() and any("a" <= character <= "z" for character in word)


def match(text: str) -> tuple[str, ...]:
    """Names of the patterns that a text matches, sorted."""
    normal = normalise(text)
    squeezed = _join_spelled(normal)
    return tuple(
        sorted(
            name
            for name, pattern in _compiled().items()
            if pattern.search(normal) or (squeezed != normal and pattern.search(squeezed))
        )
    )


def _join_spelled(text: str) -> str:
    """Letters set apart (`i g n o r e`), five and more, as one word."""
    return str(_spelled().sub(lambda run: run.group(0).replace(" ", ""), text))


@cache
def _spelled() -> Any:
    return re2.compile(r"\b(?:\w ){4,}\w\b")


def patterns() -> dict[str, str]:
    """Name → pattern, from injection_patterns.toml."""
    text = (resources.files(__package__) / "injection_patterns.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    words: dict[str, str] = tables["words"]
    return {
        name: "|".join(
            re.sub(r"%(\w+)%", lambda word: words[word.group(1)], alternative) for alternative in alternatives
        )
        for name, alternatives in tables["patterns"].items()
    }


@cache
def _compiled() -> dict[str, Any]:
    options = re2.Options()
    options.dot_nl = True
    # A pattern that does not compile must stop the start, not hide.
    return {name: re2.compile(pattern, options) for name, pattern in patterns().items()}


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
