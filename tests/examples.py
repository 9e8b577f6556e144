"""How many examples hypothesis tries."""

from __future__ import annotations

from hypothesis import settings

_PER_CENT = settings().max_examples
"""The profile's own number, which is 100 in the gate."""


def examples(count: int) -> int:
    """`count` in the gate, and more of them under `scripts/test --random`, in proportion."""
    return count * _PER_CENT // 100
