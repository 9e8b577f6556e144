"""Conversations of our own that the demo's models learn from: drawn from the templates of topics.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

_CHOICE = re.compile(r"\{([^{}]*)\}")
_FOLLOW_UP = 0.12
_SLOPPY = 0.15
_GUIDE = 0.06
_NO_SYSTEM = 0.3
_GUIDE_SENTENCES = (6, 10)

Message = dict[str, str]
"""`role` and `content`, as in a chat request."""


@cache
def _topics() -> dict[str, Any]:
    with Path(__file__).with_name("topics.toml").open("rb") as file:
        return tomllib.load(file)


def expansions(template: str) -> Iterator[str]:
    """Every text that a template stands for; `{a|b}` is one of both. Braces do not nest."""
    parts = [part.split("|") if i % 2 else [part] for i, part in enumerate(_CHOICE.split(template))]
    return ("".join(chosen) for chosen in product(*parts))


def _draw(random: Random, templates: list[str]) -> str:
    return _CHOICE.sub(lambda match: random.choice(match[1].split("|")), random.choice(templates))


def conversation(random: Random) -> list[Message]:
    """One conversation that ends with an answer; mostly one question, sometimes two."""
    topics = _topics()
    messages: list[Message] = []
    if random.random() > _NO_SYSTEM:
        # The first one is what the demo sends, so it is drawn more often.
        systems = topics["systems"] if random.random() > 0.4 else topics["systems"][:1]
        messages.append({"role": "system", "content": _draw(random, systems)})
    for _ in range(2 if random.random() < _FOLLOW_UP else 1):
        question, answer = _guide(random) if random.random() < _GUIDE else _exchange(random)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages


def _exchange(random: Random) -> tuple[str, str]:
    topic = random.choice(_topics()["topic"])
    return _typed(random, _draw(random, topic["questions"])), _draw(random, topic["answers"])


def _typed(random: Random, question: str) -> str:
    """The question as people type it: some without capitals, marks or with a greeting before it."""
    if random.random() < _SLOPPY:
        question = question.lower()
    if random.random() < _SLOPPY:
        question = question.rstrip("?!.")
    if random.random() < _SLOPPY:
        question = random.choice(("Hi, ", "Hello, ", "Please tell me: ", "One question: ")) + question
    return question


def _guide(random: Random) -> tuple[str, str]:
    """A question that wants much, and an answer of several sentences about as many topics."""
    guide = _topics()["guide"]
    named = {topic["name"]: topic for topic in _topics()["topic"]}
    # Always in the same order: a model that only ever goes on to later topics does not go round in circles.
    about = sorted(
        random.sample(guide["topics"], random.randint(*_GUIDE_SENTENCES)), key=guide["topics"].index
    )
    sentences = [_draw(random, guide["openings"])]
    sentences += [_draw(random, named[name]["answers"]) for name in about]
    return _draw(random, guide["questions"]), " ".join(sentences)


def conversations(count: int, seed: int) -> list[list[Message]]:
    """`count` conversations, the same ones for a seed."""
    random = Random(seed)  # noqa: S311 - reproducible, not secret
    return [conversation(random) for _ in range(count)]


def answers_about(name: str) -> set[str]:
    """Every answer that the templates of a topic can give. Raises KeyError for a name that is no topic's."""
    named = {topic["name"]: topic for topic in _topics()["topic"]}
    return {text for template in named[name]["answers"] for text in expansions(template)}


def words() -> set[str]:
    """Every word of every text, in lower case without punctuation."""
    topics = _topics()
    templates = [
        "Please tell me One question",
        *topics["systems"],
        *topics["guide"]["questions"],
        *topics["guide"]["openings"],
    ]
    for topic in topics["topic"]:
        templates += [*topic["questions"], *topic["answers"]]
    return {word for template in templates for text in expansions(template) for word in split(text)}


def split(text: str) -> list[str]:
    """The words of a text, in lower case without punctuation."""
    return re.findall(r"[a-z0-9'-]+", text.lower())
