"""What content checks of one's own are made of, before and after generation.

A check gets a `Content` and returns a `Verdict`; it may be a coroutine function. One that raises refuses:
what could not be checked is not let through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be checked. Of an answer: one sentence in `text`, all so far in `so_far`."""

    text: str
    stage: Literal["input", "output"]
    model: str
    user: str | None = None
    so_far: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says. `category` names what it found; `score` is its certainty, where it has one."""

    allowed: bool
    category: str = ""
    score: float | None = None


Check = Callable[[Content], "Verdict | Awaitable[Verdict]"]
