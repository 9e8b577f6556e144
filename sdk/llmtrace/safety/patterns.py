"""Prompt-injection patterns in texts. Precise rather than complete.

The texts are hostile: patterns run on google-re2, whose time is linear in the text, over a bounded part of
it. Texts are never logged or copied; a match carries names of patterns.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any

from .folding import fold_words

#: Characters of one text that are read: its beginning and its end, half each.
MOST_CHARACTERS = 20_000


def bounded(text: str) -> str:
    """Beginning and end of a long text. No pattern reaches over what is left out by a space alone."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return text[: MOST_CHARACTERS // 2] + "\n\0\n" + text[-MOST_CHARACTERS // 2 :]


def normalise(text: str) -> str:
    """Text as the patterns see it: folded, spaces and letters that look alike too."""
    return fold_words(bounded(text))


def match(text: str) -> tuple[str, ...]:
    """Names of the patterns that a text matches, sorted."""
    # Halves of a pair, which JSON lets through, are no UTF-8.
    normal = normalise(text).encode("utf-8", "replace").decode()
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
    import re2

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
    import re2

    options = re2.Options()
    options.dot_nl = True
    # A pattern that does not compile must stop the start, not hide.
    return {name: re2.compile(pattern, options) for name, pattern in patterns().items()}
