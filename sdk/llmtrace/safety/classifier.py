"""The classifier: how likely a text is an attack, by the sentence that looks most like one.

Logistic regression on hashed features of each sentence, weights of one byte. The files beside this module are
made by `python -m training.safety.train`; weights.json says of what.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from .features import BUCKETS, Features, extract
from .patterns import bounded
from .sentences import split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Buckets of the weights that tell families apart.
FAMILY_BUCKETS = 4096

#: Steps of a stored inverse document frequency in 1.
IDF_STEPS = 20


class Assessment(NamedTuple):
    """What the classifier says of a text."""

    score: float
    """0 to 1: probability of an attack where attacks and other texts are as frequent."""
    sentence: str
    """The sentence that carried it, as it stands in the text, without the white space around it."""
    family: str
    """The family that the sentence looks most like, also where the score is low."""


class Model:
    """The weights, ready to score."""

    def __init__(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """arrays: as `weights.npz` holds them."""
        import numpy as np

        scales = np.repeat(arrays["scales"].astype(np.float64), BUCKETS)
        self._idf = arrays["idf"].astype(np.float64) / IDF_STEPS
        self._weights = arrays["weights"].astype(np.float64) * scales * self._idf
        self._squares = self._idf**2
        self._bias, self._slope, self._offset = (float(value) for value in arrays["line"])
        self._families = arrays["families"].astype(np.float32)
        self._family_line = arrays["family_line"].astype(np.float32)
        self.threshold = float(arrays["threshold"])
        """Score from which on a text is flagged, unless one's own texts say otherwise."""
        self.names = tuple(str(name) for name in arrays["names"])
        """Families, in the order of their weights."""

    def assess(self, texts: Sequence[str]) -> list[Assessment]:
        """What it says of each text. Of a long one (20,000 characters) beginning and end are read."""
        sentences = [split(bounded(text)) or [""] for text in texts]
        flat = [sentence for of_text in sentences for sentence in of_text]
        if not flat:
            return []
        features = extract(flat)
        scores = self.scores(features, len(flat))
        assessments, start = [], 0
        for count in map(len, sentences):
            best = start + int(scores[start : start + count].argmax())
            family = self._family(features, best)
            score = 1 / (1 + math.exp(-self._slope * float(scores[best]) - self._offset))
            assessments.append(Assessment(round(score, 6), flat[best].strip(), family))
            start += count
        return assessments

    def scores(self, features: Features, sentences: int) -> NDArray[np.float64]:
        """Log odds of each sentence, before they are calibrated."""
        import numpy as np

        block = features.sentence * 2 + (features.bucket >= BUCKETS)
        sums = np.bincount(block, self._weights[features.bucket], minlength=2 * sentences)
        norms = np.sqrt(np.bincount(block, self._squares[features.bucket], minlength=2 * sentences))
        shares = sums / np.maximum(norms, 1e-9)
        return np.asarray(shares[0::2] + shares[1::2] + self._bias, dtype=np.float64)

    def _family(self, features: Features, sentence: int) -> str:
        import numpy as np

        first, end = np.searchsorted(features.sentence, [sentence, sentence + 1])
        buckets = features.bucket[first:end] % FAMILY_BUCKETS
        sums = self._families[:, buckets].sum(axis=1) / math.sqrt(max(end - first, 1))
        return self.names[int((sums * self._family_line[0] + self._family_line[1:]).argmax())]


@cache
def model() -> Model:
    """The model of the package, loaded when first asked for. ModuleNotFoundError without numpy."""
    import numpy as np

    with (resources.files(__package__) / "weights.npz").open("rb") as file, np.load(file) as arrays:
        return Model({name: arrays[name] for name in arrays.files})


def threshold_above(descending: Sequence[float], share: float) -> float:
    """The lowest score that at most this share of scores reaches."""
    allowed = int(len(descending) * share)
    return math.nextafter(descending[allowed], 2.0) if allowed < len(descending) else 0.0
