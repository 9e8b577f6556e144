"""Arguments of function calls that Gemini streams in pieces, each with the JSON path of its place.

`{"jsonPath": "$.stops[0].city", "stringValue": "Bos", "willContinue": true}`; pieces of a text are joined.
"""

from __future__ import annotations

import re
from typing import Any, Final

from llmtrace.wire.format import Json, either, items, mapping

_STEP: Final = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_ESCAPED: Final = re.compile(r"\\(.)")
_MOST_SKIPPED: Final = 1000
"""Entries of a list that a path may leave out: a path from the outside reserves no memory."""


def add(arguments: dict[str, Any], partial_arguments: Json) -> None:
    """Add what one chunk brings of a call's arguments to those that came before."""
    for piece in map(mapping, items(partial_arguments)):
        steps = _steps(either(piece, "jsonPath", "json_path"))
        if steps:
            _put(arguments, steps, _value(piece))


def _steps(path: Json) -> list[str | int]:
    """The keys and indexes of a path below `$`; one that is not understood is the key itself."""
    if not isinstance(path, str):
        return []
    text = path.removeprefix("$")
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            return [path]
        name, index, single, double = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            quoted = double if single is None else single
            steps.append(name if quoted is None else _ESCAPED.sub(r"\1", quoted))
        at = match.end()
    return steps


def _value(piece: Any) -> Json:
    return either(
        piece, "stringValue", "string_value", "numberValue", "number_value", "boolValue", "bool_value"
    )


def _put(target: Any, steps: list[str | int], value: Json) -> None:
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        before = _entry(target, step)
        if following is None:
            inner: Any = value
            if isinstance(before, str) and isinstance(value, str):
                inner = before + value
        elif isinstance(before, list if isinstance(following, int) else dict):
            inner = before
        else:
            inner = [] if isinstance(following, int) else {}
        if isinstance(target, dict):
            target[str(step)] = inner
        elif isinstance(step, int) and step - len(target) <= _MOST_SKIPPED:
            target.extend([None] * (step + 1 - len(target)))
            target[step] = inner
        else:
            return
        target = inner


def _entry(target: Any, step: str | int) -> Json:
    if isinstance(target, dict):
        return target.get(str(step))
    return target[step] if isinstance(step, int) and step < len(target) else None
