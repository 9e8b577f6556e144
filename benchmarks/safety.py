"""What the checks of texts find of attacks, and what they take for one, on files of one's own choice.

    python -m benchmarks.safety FILE_OR_FOLDER ... [--hard NAME ...] [--judge-error 0.1]

Files are JSONL of `{"text", "label": 0 or 1, "family"?, "language"?}`, or public sets as they are published:
CyberSecEval (prompt_injection*.json, mitre_frr*.json), NotInject_*.json, wildguard.json, xstest_prompts.csv,
Tensor Trust, AlignBench. Nothing is trained or chosen here: the thresholds of 1% and 2% are read off the hard
benign texts (--hard: names of sets; NotInject and WildGuard unless said), which judges the ranking, and the
threshold in force is the one that the weights carry, which saw none of these sets. The last line of stdout is
one JSON object:

  recall      by set, family, technique and language: at 1% and 2% of hard benign texts, at the threshold
              in force (`shipped`), of the patterns alone (`patterns`), of either (`both`)
  benign      the share of each benign set that is taken for an attack at each of these
  gate        share of hard benign texts that pass → recall of what passes, and what is flagged by a judge
              that errs so often both ways, drawn by chance: recall and false positives
  cpu_ms      CPU milliseconds of a text, classifier alone
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmtrace.safety.classifier import model, threshold_above
from llmtrace.safety.patterns import match

from .safety_sets import LabelledText, read

_HARD = ("NotInject_one", "NotInject_two", "NotInject_three", "wildguard")
_GATES = (0.02, 0.05, 0.1, 0.2)
_COLUMNS = ("1%", "2%", "shipped", "patterns", "both")

Bools = NDArray[np.bool_]


def measure(texts: list[LabelledText], hard_names: tuple[str, ...], judge_error: float) -> dict[str, Any]:
    """The figures, as the last line has them."""
    scores, cpu_ms = _scores(texts)
    patterns = np.array([bool(match(text.text)) for text in texts])
    attack = np.array([text.is_attack for text in texts])
    hard = np.array([text.set in hard_names and not text.is_attack for text in texts])
    if not hard.any():
        raise ValueError("no hard benign texts among the files: --hard names their sets")
    descending = sorted(scores[hard].tolist(), reverse=True)
    flags: dict[str, Bools] = {
        "1%": scores >= threshold_above(descending, 0.01),
        "2%": scores >= threshold_above(descending, 0.02),
        "shipped": scores >= model().threshold,
        "patterns": patterns,
        "both": (scores >= model().threshold) | patterns,
    }
    groups = _groups(texts)
    return {
        "recall": {
            name: _row(rows & attack, flags) for name, rows in groups.items() if (rows & attack).any()
        },
        "benign": {
            **{name: _row(rows & ~attack, flags) for name, rows in groups.items() if (rows & ~attack).any()},
            "all hard": _row(hard, flags),
        },
        "gate": _gate(texts, scores, hard, attack, judge_error),
        "threshold": model().threshold,
        "cpu_ms": cpu_ms,
    }


def _scores(texts: list[LabelledText]) -> tuple[NDArray[np.float64], float]:
    scorer = model()
    started = time.process_time()
    scores = [scorer.assess([text.text])[0].score for text in texts]
    return np.array(scores), round((time.process_time() - started) / len(texts) * 1000, 3)


def _groups(texts: list[LabelledText]) -> dict[str, Bools]:
    names: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        keys = [text.set]
        keys += [f"{text.set} {text.family}"] if text.family else []
        keys += [f"{text.set} {text.technique}"] if text.technique else []
        keys.append(f"{text.set} in {text.language}")
        for key in keys:
            names.setdefault(key, []).append(index)
    groups: dict[str, Bools] = {}
    for name, members in names.items():
        rows = np.zeros(len(texts), dtype=np.bool_)
        rows[members] = True
        groups[name] = rows
    return groups


def _row(rows: Bools, flags: Mapping[str, Bools]) -> dict[str, Any]:
    return {"texts": int(rows.sum())} | {name: round(float(flags[name][rows].mean()), 4) for name in _COLUMNS}


def _gate(
    texts: list[LabelledText], scores: NDArray[np.float64], hard: Bools, attack: Bools, judge_error: float
) -> dict[str, Any]:
    """What a second stage would see, and find with errors."""
    random = Random(1)
    errs = np.array([random.random() < judge_error for _ in texts])
    verdict = attack ^ errs
    descending = sorted(scores[hard].tolist(), reverse=True)
    result: dict[str, Any] = {}
    for share in _GATES:
        passed = scores >= threshold_above(descending, share)
        row = {"hard_passed": round(float(passed[hard].mean()), 4)}
        row["hard_flagged"] = round(float((passed & verdict)[hard].mean()), 4)
        for name in dict.fromkeys(text.set for text in texts if text.is_attack):
            rows = attack & np.array([text.set == name for text in texts])
            row[f"{name} passed"] = round(float(passed[rows].mean()), 4)
            row[f"{name} flagged"] = round(float((passed & verdict)[rows].mean()), 4)
        result[f"{share:.0%}"] = row
    return result


def main() -> None:
    """Print the table and the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.safety")
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders of files")
    parser.add_argument("--hard", nargs="+", default=list(_HARD), help="sets of hard benign texts")
    parser.add_argument("--judge-error", type=float, default=0.1, help="how often the second stage errs")
    options = parser.parse_args()
    try:
        figures = measure(read(options.paths), tuple(options.hard), options.judge_error)
    except (OSError, ValueError) as error:
        sys.exit(f"benchmarks.safety: {error}")
    for title in ("recall", "benign"):
        print(f"{title:62}{'texts':>7}" + "".join(f"{column:>10}" for column in _COLUMNS))
        for name, row in figures[title].items():
            print(f"{name:62}{row['texts']:>7}" + "".join(f"{row[column]:>10.1%}" for column in _COLUMNS))
    for share, row in figures["gate"].items():
        print(f"gate {share}: " + ", ".join(f"{name} {value:.1%}" for name, value in row.items()))
    print(f"{figures['cpu_ms']} CPU ms a text")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
