"""Values from outside as Python source: literals that can be nothing else, whatever text they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Final

_WIDTH: Final = 100
_INDENT: Final = "    "
#: Python's parser gives up somewhat beyond a hundred brackets within each other.
_DEEPEST: Final = 40


def literal(value: Any, level: int = 0) -> str:
    """Source of a JSON value, laid out by its size; `level` is how far its lines are indented.

    It evaluates to an equal value, but for numbers that JSON has no form for, which become their names. What
    is nested deeper than Python parses is JSON text, to be read by `json.loads`.
    """
    if level > _DEEPEST and isinstance(value, dict | list):
        return f"json.loads({json.dumps(value)!r})"
    if isinstance(value, dict):
        entries = [f"{_quoted(str(key))}: {literal(entry, level + 1)}" for key, entry in value.items()]
        return _bracketed("{", entries, "}", level)
    if isinstance(value, list):
        return _bracketed("[", [literal(entry, level + 1) for entry in value], "]", level)
    if isinstance(value, float) and not math.isfinite(value):
        return _quoted(str(value))
    if isinstance(value, str):
        return _text(value, level)
    return repr(value)


def needs_json(source: str) -> bool:
    """Whether the module `json` has to be imported for some literals."""
    return "json.loads(" in source


def comment(text: str, longest: int = 300) -> str:
    """Text from outside within a comment: in quotes, one line of ASCII."""
    return ascii(text if len(text) <= longest else text[:longest] + "…")


def _bracketed(begin: str, entries: list[str], end: str, level: int) -> str:
    flat = f"{begin}{', '.join(entries)}{end}"
    if not entries or (len(flat) + len(_INDENT) * level <= _WIDTH and "\n" not in flat):
        return flat
    inner = _INDENT * (level + 1)
    lines = "".join(f"{inner}{entry},\n" for entry in entries)
    return f"{begin}\n{lines}{_INDENT * level}{end}"


def _text(text: str, level: int) -> str:
    """Long texts line by line, so that people can read them."""
    if len(text) <= _WIDTH:
        return _quoted(text)
    inner = _INDENT * (level + 1)
    lines = "".join(f"{inner}{_quoted(piece)}\n" for piece in _pieces(text))
    return f"(\n{lines}{_INDENT * level})"


def _quoted(text: str) -> str:
    """`repr`, in double quotes where nothing in it needs an escape."""
    source = repr(text)
    if source.startswith('"') or '"' in source or "\\" in source:
        return source
    return f'"{source[1:-1]}"'


def _pieces(text: str) -> Iterator[str]:
    for line in text.splitlines(keepends=True):
        for at in range(0, len(line), _WIDTH):
            yield line[at : at + _WIDTH]
