"""Prose for prompts and answers: words follow each other as in our own documentation, and no text comes
twice.

Random words have no grammar, so they compress and are searched unlike prompts; repeated text would flatter
both. This is a Markov chain over words. Its vocabulary is one subject's and small, so some words give way to
names and numbers that nothing else has: then it compresses 2.6 times by ZSTD, as prose of many authors does.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from random import Random

_DOCS = Path(__file__).parents[1] / "docs"

#: Share of the words that are names and numbers.
_RARE = 0.2

_SYLLABLES = [
    first + vowel + last for first in "bdfghklmnprstvz" for vowel in "aeiou" for last in ("", "n", "r", "s")
]

#: Texts that many calls share, as system prompts are.
INSTRUCTIONS = (
    "You are a helpful assistant of the shop. Answer in the customer's language, in three sentences at most.",
    "You summarise incident reports. Name the time, the service and what was done; leave out opinions.",
    "You turn questions into SQL over the tables below. Answer with one SELECT and nothing else.",
    "You review text for tone. Say what to change and why, shortest first, and never rewrite all of it.",
    "You plan the steps of an agent. Give each step a tool, its arguments and what you expect of it.",
    "You classify tickets as billing, delivery, account or other. Answer with one word.",
)


class Prose:
    """Endless prose, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._words = _words()
        self._following: dict[str, list[str]] = {}
        for word, following in pairwise(self._words):
            self._following.setdefault(word, []).append(following)

    def text(self, length: int) -> str:
        """A text of `length` characters or a few more."""
        word = self._words[self._random.randrange(len(self._words))]
        words = [word]
        used = len(word)
        while used < length:
            choices = self._following.get(word, self._words)
            word = choices[int(self._random.random() * len(choices))]
            written = self._rare() if self._random.random() < _RARE else word
            words.append(written)
            used += len(written) + 1
        return " ".join(words)

    def _rare(self) -> str:
        """A number, or a name of two to four syllables."""
        if self._random.random() < 0.3:
            return str(self._random.randrange(10 ** self._random.randrange(1, 8)))
        syllables = (self._random.choice(_SYLLABLES) for _ in range(self._random.randrange(2, 5)))
        return "".join(syllables).capitalize()


def _words() -> list[str]:
    """The words of the documentation's running text, in order."""
    words: list[str] = []
    for file in sorted(_DOCS.glob("*.md")):
        text = re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)
        lines = (line for line in text.splitlines() if not line.startswith(("#", "|", "    ", "<")))
        words += re.sub(r"[`*\[\]]|\([^)\s]*\)", "", " ".join(lines)).split()
    return words
