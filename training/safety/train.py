"""Trains the classifier of `llmtrace.safety` and writes its weights.

    python -m training.safety.train --sources FOLDER

FOLDER holds the public files of `public_texts.py` as OWNER/NAME/PATH, at the commits that are named there;
their hashes are checked. Without it, the texts are those of the generator alone. The threshold is a
percentile of benign messages, each scored by a model that saw no text of the same template or the same public
text; no set that the classifier is judged with is read. The same texts, numpy and scipy give the same
weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from llmtrace.safety.classifier import FAMILY_BUCKETS, IDF_STEPS
from llmtrace.safety.families import FAMILIES
from llmtrace.safety.features import BUCKETS, Features

from .corpus import FOLDS, Corpus, build
from .fit import Floats, calibration, features, logistic, matrix, rarity
from .public_texts import SOURCES

_FOLDER = Path(__file__).parents[2] / "sdk" / "llmtrace" / "safety"

#: Share of benign messages out of fold that the threshold lets through as attacks.
_FALSE_POSITIVES = 0.01

_SEED = 1


def quantised(weights: Floats) -> tuple[np.ndarray[Any, np.dtype[np.int8]], float]:
    """(bytes, what one step stands for)."""
    scale = float(np.abs(weights).max()) / 127 or 1.0
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int8), scale


def out_of_fold(rows: scipy.sparse.csr_matrix, corpus: Corpus, strength: float) -> Floats:
    """The score of each sentence by a model that did not see its group."""
    labels, folds = np.array(corpus.is_attack), np.array(corpus.fold)
    scores = np.zeros(len(labels))
    for fold in range(FOLDS):
        others = folds != fold
        weights, bias = logistic(rows[others], labels[others], strength)
        scores[~others] = rows[~others] @ weights + bias
        print(f"fold {fold + 1} of {FOLDS}", flush=True)
    return scores


def family_weights(hashed: Features, corpus: Corpus) -> tuple[Floats, Floats]:
    """(families by buckets, bias of each): which family a sentence of an attack is of."""
    attacks = np.flatnonzero(corpus.is_attack)
    rank = np.full(len(corpus.sentences), -1)
    rank[attacks] = np.arange(len(attacks))
    chosen = rank[hashed.sentence] >= 0
    sentence, bucket = rank[hashed.sentence[chosen]], hashed.bucket[chosen] % FAMILY_BUCKETS
    counts = np.bincount(sentence, minlength=len(attacks))
    values = 1 / np.sqrt(counts[sentence])
    rows = scipy.sparse.csr_matrix((values, (sentence, bucket)), shape=(len(attacks), FAMILY_BUCKETS))
    family = np.array(corpus.family)[attacks]
    fits = [logistic(rows, family == name, 3.0, 60) for name in FAMILIES]
    return np.array([weights for weights, _ in fits]), np.array([bias for _, bias in fits])


def train(corpus: Corpus, strength: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arrays of weights.npz, figures of the training)."""
    count = len(corpus.sentences)
    labels = np.array(corpus.is_attack)
    hashed = features(corpus.sentences)
    idf = rarity(hashed, count)
    rows = matrix(hashed, idf, count)
    scores = out_of_fold(rows, corpus, strength)
    benign = np.array([scores[message].max() for message in corpus.benign if message])
    attacks = np.array([scores[message].max() for message in corpus.attacks if message])
    slope, offset = calibration(
        np.concatenate([benign, attacks]), np.arange(len(benign) + len(attacks)) >= len(benign)
    )
    cut = float(np.quantile(benign, 1 - _FALSE_POSITIVES))
    threshold = round(float(1 / (1 + np.exp(-slope * cut - offset))), 6)
    weights, bias = logistic(rows, labels, strength)
    words, word_scale = quantised(weights[:BUCKETS])
    pieces, piece_scale = quantised(weights[BUCKETS:])
    table, family_bias = family_weights(hashed, corpus)
    families, family_scale = quantised(table)
    arrays = {
        "weights": np.concatenate([words, pieces]),
        "scales": np.array([word_scale, piece_scale]),
        "idf": np.rint(idf * IDF_STEPS).astype(np.uint8),
        "line": np.array([bias, slope, offset]),
        "families": families,
        "family_line": np.concatenate([[family_scale], family_bias]),
        "names": np.array(list(FAMILIES)),
        "threshold": np.array(threshold),
    }
    figures = {
        "sentences": count,
        "attack_sentences": int(labels.sum()),
        "benign_messages": len(benign),
        "attack_messages": len(attacks),
        "families": dict(sorted(Counter(filter(None, corpus.family)).items())),
        "threshold": threshold,
        "out_of_fold": {
            "false_positives": _FALSE_POSITIVES,
            "recall": round(float((attacks > cut).mean()), 4),
        },
    }
    return arrays, figures


def main() -> None:
    """Train, and write the weights with what they were made of."""
    parser = argparse.ArgumentParser(
        prog="python -m training.safety.train", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--sources", type=Path, help="folder of public files, OWNER/NAME/PATH")
    parser.add_argument(
        "--output", type=Path, default=_FOLDER, help="folder for weights.npz and weights.json"
    )
    parser.add_argument("--attacks", type=int, default=20_000, help="texts to generate")
    parser.add_argument("--benign", type=int, default=20_000, help="texts to generate")
    parser.add_argument("--strength", type=float, default=3.0, help="how little weights are held back")
    options = parser.parse_args()
    corpus = build(options.sources, options.attacks, options.benign, _SEED)
    arrays, figures = train(corpus, options.strength)
    file = options.output / "weights.npz"
    np.savez_compressed(file, **arrays)
    record = {
        "made_by": "python -m training.safety.train",
        "weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "seed": _SEED,
        "generated": {"attacks": options.attacks, "benign": options.benign},
        "strength": options.strength,
        **figures,
        "sources": [
            {"repository": s.repository, "commit": s.commit, "path": s.path, "licence": s.licence,
             "sha256": s.sha256}
            for s in (SOURCES if options.sources else ())
        ],
    }  # fmt: skip
    (options.output / "weights.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
