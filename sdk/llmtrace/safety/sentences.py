"""Sentences of a text, in Latin scripts and in Chinese and Japanese. Joined, they are the text."""

from __future__ import annotations

import re

#: Characters of a sentence at most; a longer one is cut at its last blank before that.
MOST_CHARACTERS = 400

#: Where a sentence ends: after a line, after a full stop of Chinese at once, after a Latin one before a
#: blank; closing brackets and quotation marks belong to it, and so does the white space behind it.
_END = re.compile(
    r"""(?:\n\s*|[。！？；…]+[”’」』）)"']*\s*|[.!?]+[”’」』）)"'»\]]*\s+)""",
)


def split(text: str) -> list[str]:
    """Sentences with what white space follows them: `"".join(split(text)) == text`. None of nothing."""
    ends = [match.end() for match in _END.finditer(text)]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    sentences: list[str] = []
    start = 0
    for end in ends:
        sentences.extend(_cut(text[start:end]))
        start = end
    return [sentence for sentence in sentences if sentence]


def finished(text: str) -> tuple[list[str], str]:
    """Sentences that have ended, and what is still open: for a text that is still being written.

    A Latin full stop ends a sentence when the blank behind it is there, a Chinese one at once.
    """
    ends = [match.end() for match in _END.finditer(text)]
    if not ends:
        return [], text
    return split(text[: ends[-1]]), text[ends[-1] :]


def _cut(sentence: str) -> list[str]:
    pieces: list[str] = []
    while len(sentence) > MOST_CHARACTERS:
        blank = sentence.rfind(" ", 1, MOST_CHARACTERS)
        end = blank + 1 if blank > 0 else MOST_CHARACTERS
        pieces.append(sentence[:end])
        sentence = sentence[end:]
    return [*pieces, sentence]
