"""Sentences to train on, and messages of them to choose the threshold by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from llmtrace.safety.sentences import split

from .generator import utterances
from .public_texts import read

#: Sentences of a public text that are trained on: a long one must not outweigh many.
_SENTENCES = 12

FOLDS = 5


@dataclass
class Corpus:
    """Different sentences with what is known of each, and messages as lists of their numbers."""

    sentences: list[str] = field(default_factory=list)
    is_attack: list[bool] = field(default_factory=list)
    family: list[str] = field(default_factory=list)
    """Of an attack; "" of a benign sentence."""
    fold: list[int] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    benign: list[list[int]] = field(default_factory=list)
    attacks: list[list[int]] = field(default_factory=list)

    def add(self, sentence: str, family: str, group: str) -> int:
        """The sentence's number. What was there before as a benign one stays so."""
        text = sentence.strip()
        if text not in self.numbers:
            self.numbers[text] = len(self.sentences)
            self.sentences.append(text)
            self.is_attack.append(bool(family))
            self.family.append(family)
            self.fold.append(int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % FOLDS)
        return self.numbers[text]


def build(sources: Path | None, attacks: int, benign: int, seed: int) -> Corpus:
    """Generated texts, and the public ones in `sources` where it is given."""
    corpus = Corpus()
    random = Random(seed)
    for utterance in utterances("benign", benign, seed):
        corpus.benign.append(_add(corpus, utterance.text, "", utterance.template))
    for number, (source, text) in enumerate(read(sources) if sources else ()):
        group = f"{source.repository} {number}"
        corpus.benign.append(_add(corpus, text, "", group))
    carriers = list(corpus.benign)
    clauses = [text for text in corpus.sentences if 20 < len(text) < 90]
    for utterance in utterances("attacks", attacks, seed):
        text = utterance.text
        if random.random() < 0.1 and len(text) < 80:
            text = _joined(text, random.choice(clauses), random)
        message = _add(corpus, text, utterance.kind, utterance.template)
        if random.random() < 0.5:
            message = [*random.choice(carriers), *message]
        corpus.attacks.append(message)
    return corpus


def _add(corpus: Corpus, text: str, family: str, group: str) -> list[int]:
    sentences = [sentence for sentence in split(text) if sentence.strip()][:_SENTENCES]
    return [corpus.add(sentence, family, group) for sentence in sentences]


def _joined(attack: str, clause: str, random: Random) -> str:
    """An order in one sentence with other words."""
    clause, attack = clause.rstrip(".!?。 "), attack.rstrip(".!?。 ")
    return random.choice(
        [f"{clause}, {attack}.", f"{attack} and {clause}.", f"{clause}: {attack}", f"{attack}, {clause}"]
    )
