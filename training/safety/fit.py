"""Logistic regression on hashed features, by a quasi-Newton method: the same numbers from the same texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.sparse
from numpy.typing import NDArray

from llmtrace.safety.features import BUCKETS, Features, extract

Floats = NDArray[np.float64]


def features(sentences: Sequence[str], batch: int = 2000) -> Features:
    """Features of many sentences."""
    parts, start = [], 0
    while start < len(sentences):
        part = extract(list(sentences[start : start + batch]))
        parts.append(Features(part.sentence + start, part.bucket))
        start += batch
    return Features(np.concatenate([p.sentence for p in parts]), np.concatenate([p.bucket for p in parts]))


def rarity(hashed: Features, sentences: int) -> Floats:
    """Inverse document frequency of each bucket, in steps of 1/20 from 0 to 12.75, as it is stored."""
    counts = np.bincount(hashed.bucket, minlength=2 * BUCKETS)
    values = np.log((1 + sentences) / (1 + counts)) + 1
    steps: Floats = np.clip(np.rint(values * 20), 0, 255).astype(np.float64)
    return steps / 20


def matrix(hashed: Features, idf: Floats, sentences: int) -> scipy.sparse.csr_matrix:
    """Sentences by buckets; words and pieces of a sentence have length 1 each."""
    values = idf[hashed.bucket]
    block = hashed.sentence * 2 + (hashed.bucket >= BUCKETS)
    norms = np.sqrt(np.bincount(block, values**2, minlength=2 * sentences))
    values = values / norms[block]
    return scipy.sparse.csr_matrix((values, (hashed.sentence, hashed.bucket)), shape=(sentences, 2 * BUCKETS))


def logistic(
    rows: scipy.sparse.csr_matrix, labels: NDArray[np.bool_], strength: float, iterations: int = 150
) -> tuple[Floats, float]:
    """(weights, bias). Both classes weigh the same in sum; `strength`: how free weights are."""
    signs = np.where(labels, 1.0, -1.0)
    share = np.where(labels, 0.5 / max(labels.sum(), 1), 0.5 / max((~labels).sum(), 1)) * len(labels)
    transposed = rows.T.tocsr()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[:-1], parameters[-1]
        margins = signs * (rows @ weights + bias)
        value = strength * (share * np.logaddexp(0, -margins)).sum() + 0.5 * weights @ weights
        slope = -strength * share * signs / (1 + np.exp(np.clip(margins, -500, 500)))
        return float(value), np.append(transposed @ slope + weights, slope.sum())

    start = np.zeros(rows.shape[1] + 1)
    best = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    return best.x[:-1], float(best.x[-1])


def calibration(scores: Floats, labels: NDArray[np.bool_]) -> tuple[float, float]:
    """(slope, offset) that make a score's logistic function a probability at equal odds."""
    share = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    signs = np.where(labels, 1.0, -1.0)

    def loss(parameters: Floats) -> float:
        return float((share * np.logaddexp(0, -signs * (parameters[0] * scores + parameters[1]))).sum())

    best = scipy.optimize.minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead")
    return float(best.x[0]), float(best.x[1])
