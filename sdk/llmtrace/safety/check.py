"""One text, checked with all there is: patterns and classifier, each where its library is installed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

from . import families
from .sentences import split

#: What a text scores at least that a pattern matches.
PATTERN_SCORE = 0.99


class Check(NamedTuple):
    """What is known of a text."""

    score: float
    """0 to 1: probability of an attack where attacks and other texts are as frequent."""
    flagged: bool
    """Whether it reaches the threshold."""
    sentence: str
    """The sentence that carried it, as it stands in the text; the whole text where a match spans several."""
    family: str
    patterns: tuple[str, ...]
    """Names of the patterns that match, sorted."""
    missing: tuple[str, ...]
    """Python packages that a part of the check needs and that are not installed."""


@cache
def missing() -> tuple[str, ...]:
    """Packages that are not installed: `google-re2` (patterns), `numpy` (classifier)."""
    modules = {"google-re2": "re2", "numpy": "numpy"}
    return tuple(package for package, module in modules.items() if find_spec(module) is None)


def check(text: str, threshold: float | None = None) -> Check:
    """Check a text. threshold: a score from 0 to 1, that of the weights unless given.

    ModuleNotFoundError where neither library is installed.
    """
    absent = missing()
    if len(absent) == 2:
        raise ModuleNotFoundError(
            f"checking texts needs {' or '.join(absent)}: pip install 'llmtrace[safety]'"
        )
    score, sentence, family = 0.0, "", ""
    limit = PATTERN_SCORE if threshold is None else threshold
    if "numpy" not in absent:
        from .classifier import model

        score, sentence, family = model().assess([text])[0]
        limit = model().threshold if threshold is None else threshold
    names: tuple[str, ...] = ()
    if "google-re2" not in absent:
        from .patterns import match

        names = match(text)
        if names:
            score = max(score, PATTERN_SCORE)
            sentence = next((part.strip() for part in split(text) if match(part)), text.strip())
            family = families.OF_PATTERN[names[0]]
    return Check(score, score >= limit, sentence, family, names, absent)


def threshold_for(benign: Sequence[str], false_positives: float) -> float:
    """The score that at most this share of texts of one's own reaches, texts that are no attacks.

    false_positives: between 0 and 1. ValueError where there are too few texts to say: one must be expected.
    """
    if len(benign) * false_positives < 1:
        needed = math.ceil(1 / false_positives)
        raise ValueError(f"{len(benign)} texts cannot show so low a rate: it takes {needed} at least")
    from .classifier import threshold_above

    scores = sorted((check(text).score for text in benign), reverse=True)
    return threshold_above(scores, false_positives)
