"""How many tokens a text is, about, without its model's tokenizer: for answers that tell no usage.

Every tokenizer splits text into words, numbers, marks and white space before it merges bytes, and writes what
was frequent in its training as one token. So a piece is counted by its script and length. The rates were
fitted to recorded answers that tell their tokens; `python -m tests.recordings.estimates` measures the error
that they leave.
"""

from __future__ import annotations

import functools
import re
from typing import Final

MOST_CHARACTERS: Final = 200_000
"""Of a longer text so much is read, and the rest taken to be like it."""

_PIECES: Final = (
    r"(?P<han>[\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+)"
    r"|(?P<kana>[\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f]+)"
    r"|(?P<hangul>[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]+)"
    r"|(?P<word>[A-Za-z]+)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<latin>[\u00c0-\u024f\u1e00-\u1eff]+)"
    r"|(?P<letters>[^\W\d_]+)"
    r"|(?P<space>\s+)"
    r"|(?P<wide>[\u3000-\u303f\uff00-\uff65]+)"
    r"|(?P<marks>[!-/:-@\[-`{-~]+)"
    r"|(?P<others>.)"
)

#: Tokens for each character of a piece.
_RATES: Final = {
    "han": 0.8,
    "kana": 0.85,
    "hangul": 0.75,
    "number": 0.4,
    "latin": 0.6,
    "letters": 0.4,
    "wide": 0.9,
    "marks": 0.62,
    "others": 1.5,
}
#: A word of so many letters is one token mostly; so many letters more are one more.
_WORD: Final = 7
_LETTERS: Final = 5.0


@functools.cache
def _pieces() -> re.Pattern[str]:
    """Compiled when it is needed first: that is slow, and most answers tell their tokens."""
    return re.compile(_PIECES, re.DOTALL)


def estimated_tokens(text: str) -> int:
    """Tokens of `text`, about; 0 for none, at least 1 for any."""
    if not text:
        return 0
    read = text[:MOST_CHARACTERS]
    tokens = 0.0
    for piece in _pieces().finditer(read):
        kind, length = piece.lastgroup or "others", piece.end() - piece.start()
        if kind == "word":
            tokens += 1 if length <= _WORD else 1 + (length - _WORD) / _LETTERS
        elif kind == "space":
            # One blank belongs to the word that follows.
            tokens += 0 if piece.group() == " " else 1
        else:
            tokens += length * _RATES[kind]
    return max(1, round(tokens * len(text) / len(read)))
