"""Whether a grammar compiles within bounds, asked of a process that can be ended."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

CPU_SECONDS = 2.0
_WALL_SECONDS = 15.0
"""Where others keep the processors busy."""
_MEMORY_BYTES = 1 << 30
_REMEMBERED = 1024

_PROGRAM = Path(__file__).with_name("grammar_process.py")
_TOO_COMPLEX = (
    "the grammar takes too long or too much memory to compile: use fewer and simpler patterns, properties "
    "and combinations"
)

_EXHAUSTED = ("panic:", "Too many items", "Current row has", "fuel exhausted", "too complex", "too large")
"""How llguidance says that a bound of its own is reached, in words for its developers."""


class GrammarCheck:
    """Checks each grammar once, and remembers what came of the latest. Safe to call from any thread."""

    def __init__(self) -> None:
        self._problems: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    def knows(self, grammar: str) -> bool:
        """Whether it was checked already."""
        with self._lock:
            return _key(grammar) in self._problems

    def check(self, grammar: str) -> None:
        """Raises ValueError with the reason for a grammar that cannot be compiled within bounds. Blocks."""
        key = _key(grammar)
        with self._lock:
            problem = self._problems.get(key)
        if problem is None:
            problem = _problem_of(grammar)
            with self._lock:
                self._problems[key] = problem
                if len(self._problems) > _REMEMBERED:
                    self._problems.popitem(last=False)
        if problem:
            raise ValueError(problem)


def _key(grammar: str) -> bytes:
    return hashlib.sha256(grammar.encode()).digest()


def _problem_of(grammar: str) -> str:
    # -P: the program's folder holds modules that are none of llguidance's business.
    command = [sys.executable, "-P", str(_PROGRAM), str(CPU_SECONDS), str(_MEMORY_BYTES)]
    try:
        done = subprocess.run(  # noqa: S603 - our own program; the grammar goes in by stdin
            command, input=grammar.encode(), capture_output=True, timeout=_WALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _TOO_COMPLEX
    if done.returncode:
        return _TOO_COMPLEX
    return first_reason(done.stdout.decode("utf-8", "replace"))


def first_reason(message: str) -> str:
    """llguidance's error without its excerpt of the grammar; "" where there is none."""
    if not message.strip():
        return ""
    if any(mark in message for mark in _EXHAUSTED):
        return _TOO_COMPLEX
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reasons = [line for line in lines if "|" not in line and not line.startswith("^")]
    return " ".join(reasons[:4]).replace(" <non-verbose/>", "")[:500] or "the grammar is not valid"
