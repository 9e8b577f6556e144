"""Texts without their disguises: case, accents, widths, invisible marks, letters that look alike."""

from __future__ import annotations

import unicodedata

#: Letters of other scripts that look like Latin ones; only words mixed with Latin letters are folded.
LOOKALIKES = str.maketrans("аеорсухіјѕԁһӏνοραιτκ", "aeopcyxijsdhlvopaitk")


class _Folded(dict[int, str]):
    """Code point → what it becomes, worked out when it is first met."""

    def __missing__(self, number: int) -> str:
        folded = "".join(
            character
            for character in unicodedata.normalize("NFKD", chr(number)).casefold()
            # Cf: zero-width and bidirectional marks, soft hyphens, tags; Mn: accents and stacked marks.
            if unicodedata.category(character) not in ("Cf", "Mn")
        )
        self[number] = folded.replace("’", "'").replace("‘", "'")
        return self[number]


_FOLDED = _Folded()


def fold(text: str) -> str:
    """Compatibility forms, accents, invisible marks and case folded, each character by itself."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)


def fold_words(text: str) -> str:
    """Folded, with single blanks, and letters that look alike folded in words that mix scripts."""
    words = fold(text).split()
    return " ".join(word.translate(LOOKALIKES) if _is_mixed(word) else word for word in words)


def _is_mixed(word: str) -> bool:
    return not word.isascii() and any("a" <= character <= "z" for character in word)
