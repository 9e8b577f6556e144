"""Sentences to train on, and messages of them to choose the threshold by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from llmtrace.safety.sentences import split, windows

from .generator import utterances
from .public_texts import read

#: Sentences of a public text that are trained on: a long one must not outweigh many.
_SENTENCES = 12

FOLDS = 5

#: How people lead up to what they want, whatever it is, and what they say after it.
_OPENINGS = (
    "Can you ",
    "Could you please ",
    "I want you to ",
    "I need you to ",
    "Would you please ",
    "Please ",
    "Hey, ",
    "Hello! ",
    "So, ",
    "OK now ",
    "It is important that you ",
    "You must ",
    "You should ",
    "You will ",
    "Also, ",
    "For a test, ",
    "Just this once, ",
    "Hi there, ",
    "Thanks for the help so far, but now ",
    "In addition, ",
    "To start with, ",
    "As a favour, ",
    "Let me be clear: ",
    "Remember: ",
    "I would like you to ",
    "Now ",
    "First of all, ",
    "Last thing: ",
    "If possible, ",
    "Next, ",
    "Listen carefully: ",
    "Good morning, ",
)
_CLOSINGS = (
    ", please",
    " Thanks!",
    " for my school project",
    ", it is important to me",
    " as soon as you can",
    " today",
    " so that I can go on",
    " and be quick",
    ", would you?",
    " before you do anything else",
    " in your next answer",
    " and explain why",
    ", then wait for my answer",
    " and thank you",
    ", as agreed",
    " at the end of your reply",
    ", no matter how long it takes",
    " for everyone to see",
    " in one sentence",
    " and stop there",
)


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
    public: list[list[int]] = field(default_factory=list)
    """Those of `benign` that people wrote or published; the threshold is chosen by them where there are any."""
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
        text = _wrapped(utterance.text, random) if utterance.language == "english" else utterance.text
        corpus.benign.append(_add(corpus, text, "", utterance.template))
    for number, (source, text) in enumerate(read(sources) if sources else ()):
        group = f"{source.repository} {number}"
        corpus.benign.append(_add(corpus, text, "", group))
        corpus.public.append(corpus.benign[-1])
    carriers = list(corpus.benign)
    clauses = [text for text in corpus.sentences if 20 < len(text) < 90]
    for utterance in utterances("attacks", attacks, seed):
        text = _wrapped(utterance.text, random) if utterance.language == "english" else utterance.text
        if random.random() < 0.2 and len(text) < 80:
            text = _joined(text, random.choice(clauses), random)
        message = _add(corpus, text, utterance.kind, utterance.template)
        if random.random() < 0.5:
            message = [*random.choice(carriers), *message]
        corpus.attacks.append(message)
    return corpus


def _add(corpus: Corpus, text: str, family: str, group: str) -> list[int]:
    sentences = [sentence for sentence in split(text) if sentence.strip()][:_SENTENCES]
    return [corpus.add(window, family, group) for sentence in sentences for window in windows(sentence)]


def _wrapped(text: str, random: Random) -> str:
    if random.random() < 0.25:
        text = random.choice(_OPENINGS) + text[:1].lower() + text[1:]
    if random.random() < 0.2:
        text = text.rstrip(".") + random.choice(_CLOSINGS)
    return text


def _joined(attack: str, clause: str, random: Random) -> str:
    """An order in one sentence with other words."""
    clause, attack = clause.rstrip(".!?。 "), attack.rstrip(".!?。 ")
    return random.choice(
        [f"{clause}, {attack}.", f"{attack} and {clause}.", f"{clause}: {attack}", f"{attack}, {clause}"]
    )
