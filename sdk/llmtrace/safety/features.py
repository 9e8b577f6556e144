"""What the classifier sees of sentences: hashes of words, pairs of words and pieces of three to five letters.

The hashes are computed here, on whole arrays, by arithmetic on 64 bits that is the same on every machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .folding import fold_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Buckets of words, and as many of pieces behind them.
BUCKETS = 2**16

#: Two odd numbers, each with its inverse modulo 2**64.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_PAIR = 0xC2B2AE3D27D4EB4F
_SIZES = {3: 0x165667B19E3779F9, 4: 0xD6E8FEB86659FD93, 5: 0xA0761D6478BD642F}
_MIX = 0xFF51AFD7ED558CCD

_SPACE = 32

#: Shapes that letters do not show; each is a feature of its own.
_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("repeated", re.compile(r"\b(\w{2,30})(?:\W+\1\b){5}")),
    ("base64", re.compile(r"(?<![\w/+])(?=[\w/+]*[A-Z])(?=[\w/+]*[a-z])[\w/+]{24,}={0,2}(?![\w/+])")),
    ("hexadecimal", re.compile(r"(?:\b|\\x|%)(?:[0-9a-fA-F]{2}[ ,]?(?:\\x|0x|%)?){12,}")),
    ("binary", re.compile(r"(?:\b[01]{7,8}\s?){4,}")),
    ("escapes", re.compile(r"(?:\\u[0-9a-fA-F]{4}|&#x?[0-9a-fA-F]+;){4,}")),
    ("spelled", re.compile(r"(?:\b\w[ .\-_*]){6,}\w\b")),
    ("invisible", re.compile("[\u200b-\u200f\u2060-\u2064\U000e0000-\U000e007f]{2,}")),
    ("morse", re.compile(r"(?:[.\-]{1,5}[ /]+){8,}")),
    ("turns", re.compile(r"(?i)^\W*(?:user|human|assistant|ai|bot|system|q|a|question|answer)\s*:")),
    ("tags", re.compile(r"(?i)<[/|!]?-{0,2}\s?(?:system|im_start|im_end|inst|assistant|user|admin|prompt)")),
    ("pieces", re.compile(r"""(?:\b\w{1,9}\s?=\s?["'][^"']{1,40}["'][,;\s]*(?:and\s)?){2,}""")),
)


class Features(NamedTuple):
    """Features of several sentences, each once a sentence, sentence by sentence."""

    sentence: NDArray[np.int64]
    """Number of the sentence that a feature is of, ascending."""
    bucket: NDArray[np.int64]
    """0 to 2 * BUCKETS: words before BUCKETS, pieces from there on."""


def extract(sentences: list[str]) -> Features:
    """The features of sentences as they stand in a text."""
    import numpy as np

    folded = [f" {fold_words(sentence)} " for sentence in sentences]
    lengths = np.array([len(text) for text in folded], dtype=np.int64)
    encoded = "".join(folded).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(encoded, dtype="<u4").astype(np.uint64)
    owner = np.repeat(np.arange(len(folded), dtype=np.int64), lengths)
    words, word_owner = _words(codes, owner)
    pieces, piece_owner = _pieces(codes, owner)
    shapes, shape_owner = _shapes(sentences)
    keys = np.concatenate(
        [
            word_owner * (2 * BUCKETS) + words,
            shape_owner * (2 * BUCKETS) + shapes,
            piece_owner * (2 * BUCKETS) + BUCKETS + pieces,
        ]
    )
    keys = np.unique(keys)
    return Features(keys // (2 * BUCKETS), keys % (2 * BUCKETS))


def _bucket(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The upper bits of hashes, after they were mixed."""
    import numpy as np

    mixed = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(_MIX)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(_BASE)
    return (mixed >> np.uint64(48)).astype(np.int64)


def _words(
    codes: NDArray[np.uint64], owner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Buckets of words and of pairs of neighbours, and the sentences that they are of."""
    import numpy as np

    letter, alone = _letters(codes)
    first = letter.copy()
    first[1:] &= ~letter[:-1] | alone[1:] | alone[:-1]
    last = letter.copy()
    last[:-1] &= ~letter[1:] | alone[:-1] | alone[1:]
    starts, ends = np.flatnonzero(first), np.flatnonzero(last) + 1
    # A word's hash is a difference of sums up to its ends, shifted to where it would stand at the beginning.
    powers = np.cumprod(np.full(len(codes) + 1, _BASE, dtype=np.uint64))
    inverses = np.cumprod(np.full(len(codes) + 1, _INVERSE, dtype=np.uint64))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(codes * powers[:-1])])
    hashes = (sums[ends] - sums[starts]) * inverses[starts]
    whose = owner[starts]
    neighbours = np.flatnonzero(whose[1:] == whose[:-1])
    pairs = hashes[neighbours] * np.uint64(_PAIR) + hashes[neighbours + 1]
    return _bucket(np.concatenate([hashes, pairs])), np.concatenate([whose, whose[neighbours]])


def _letters(codes: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What belongs to words, and what is a word by itself: a sign of Chinese or Japanese."""
    lower = (codes >= ord("a")) & (codes <= ord("z"))
    digit = (codes >= ord("0")) & (codes <= ord("9"))
    beyond = (
        (codes >= 0xAA) & ~((codes >= 0x2000) & (codes < 0x2C00)) & ~((codes >= 0x3000) & (codes < 0x3040))
    )
    alone = ((codes >= 0x3040) & (codes < 0xA000)) | ((codes >= 0x20000) & (codes < 0x32000))
    return lower | digit | (codes == ord("_")) | beyond, alone


def _pieces(
    codes: NDArray[np.uint64], owner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Buckets of three to five characters in a row of one word, with the blanks before and behind it."""
    import numpy as np

    blank = codes == _SPACE
    buckets, owners = [], []
    rolling = codes[:-1] * np.uint64(_BASE) + codes[1:] if len(codes) else codes
    crossed = np.zeros(max(len(codes) - 1, 0), dtype=np.bool_)
    for size, salt in _SIZES.items():
        count = len(codes) - size + 1
        if count <= 0:
            break
        rolling = rolling[:count] * np.uint64(_BASE) + codes[size - 1 :]
        crossed = crossed[:count] | blank[size - 2 : size - 2 + count]
        inside = np.flatnonzero(~crossed)
        buckets.append(_bucket(rolling[inside] ^ np.uint64(salt)))
        owners.append(owner[inside])
    if not buckets:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(buckets), np.concatenate(owners)


def _shapes(sentences: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Buckets of the shapes that are in sentences. The first buckets of all are theirs, with some words."""
    import numpy as np

    hits = [
        (number, index)
        for index, sentence in enumerate(sentences)
        for number, (_, pattern) in enumerate(_SHAPES)
        if pattern.search(sentence)
    ]
    table = np.array(hits, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
