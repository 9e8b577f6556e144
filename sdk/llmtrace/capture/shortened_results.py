"""Lines of results without what is long in them, for a queue that is too full to hold them whole.

What is billed stays: ids, models, usage, finish reasons. Long texts and lists of numbers are left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

_LONGEST_TEXT: Final = 256
_LONGEST_LIST: Final = 64
LEFT_OUT: Final = "[left out: the delivery queue was full]"
_USAGE: Final = b'"usage'
"""Without it tokens are estimated from the texts, which are needed then."""


def shortened(pieces: Sequence[bytes | memoryview]) -> bytes:
    """A part of a file of results, its whole lines shortened; those that are cut are left as they are."""
    first, *lines = b"".join(pieces).split(b"\n")
    if not lines:
        return first
    last = lines.pop()
    return b"\n".join([first, *map(_shortened_line, lines), last])


def _shortened_line(line: bytes) -> bytes:
    if len(line) <= _LONGEST_TEXT or _USAGE not in line:
        return line
    try:
        return json.dumps(_without_long(json.loads(line)), separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return line


def _without_long(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else LEFT_OUT
    if isinstance(value, dict):
        return {key: _without_long(inner) for key, inner in value.items()}
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST and isinstance(value[0], float | int):
            return []
        return [_without_long(inner) for inner in value]
    return value
