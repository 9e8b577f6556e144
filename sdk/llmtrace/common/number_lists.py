"""Long lists of numbers, which are vectors: they are never recorded, a mark with their length is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

_LONGEST: Final = 32
"""Numbers of which at least one is a fraction."""
_LONGEST_WHOLE: Final = 256
"""Whole numbers: ids may be many, quantized vectors are more."""

_NUMBER: Final = r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_SEPARATOR: Final = r"(?:\s*,\s*|\s+)"
#: Also one whose end was cut off.
_IN_TEXT: Final = re.compile(
    rf"([\[(])\s*({_NUMBER}(?:{_SEPARATOR}{_NUMBER}){{{_LONGEST},}}+)[^\[\]()]{{0,64}}([\])]|$)", re.ASCII
)
_SHORTEST_TEXT: Final = 2 * _LONGEST


def is_vector(values: Sequence[Any]) -> bool:
    """Whether a list is a vector: long, and of numbers alone."""
    length = len(values)
    if length <= _LONGEST or type(values[0]) not in (int, float) or type(values[-1]) not in (int, float):
        return False
    kinds = set(map(type, values))
    return kinds <= {int, float} and (float in kinds or length > _LONGEST_WHOLE)


def mark(length: int) -> str:
    """What stands in the place of a vector of so many numbers."""
    return f"[llmtrace left out {length} numbers]"


def without_vectors(text: str) -> str:
    """A text with each vector in it, as JSON or Python write lists, replaced by its mark."""
    if len(text) < _SHORTEST_TEXT or "." not in text:
        return text
    return _IN_TEXT.sub(_replaced, text)


def _replaced(match: re.Match[str]) -> str:
    numbers = match.group(2)
    if "." not in numbers and "e" not in numbers.lower():
        return match.group()
    length = len(re.findall(_NUMBER, numbers))
    return f'{match.group(1)}"{mark(length)}"{match.group(3)}'
