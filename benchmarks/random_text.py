"""Text of our own that random_model.py counts words in: common ones, and the words of our trade."""

from __future__ import annotations

import re
from itertools import product
from random import Random

_SUBJECTS = """\
the model, the service, a trace, every request, the first token, our collector, the dashboard, a customer,
the invoice, your order, the parcel, an engineer, the queue, a long prompt, the cache, the answer,
this report"""

_VERBS = """\
explains, measures, returns, stores, shows, compares, delivers, checks, improves, repeats, summarises, needs,
finds, reads, writes, counts, sends, keeps, changes, follows"""

_OBJECTS = """\
the latency of each step, a clear summary, the price of a call, several useful examples, the same question,
a better plan for the team, the number of tokens, what happened yesterday, the delivery address,
a refund within ten days, the reason for the error, a short list of ideas, the budget of the project,
new data from the store, the next version of the prompt, an honest comparison, the spans of one session"""

_PROSE = """\
Hello! How can I help you today? Yes, of course; here are some things you should know: first, second,
third. I think that would work well because it is simple, fast and safe. However, we could also wait until
tomorrow morning and ask again. Please write a story about a small river, a green mountain and two old
friends who travel through the winter. What is the capital of this country? Translate the following
sentence into another language. Explain how a computer learns from many examples. Give me three reasons
why people like music. If there is no answer, say so. Which words come after these? Customers often ask
about shipping, returns, payment, accounts and passwords. Thank you very much! The weather was warm, the
coffee was strong, and nobody in the room could remember the question. You are a helpful assistant. Answer
in one sentence. Keep it short. Be kind and be brief."""


def sentences() -> list[str]:
    """Some two thousand short texts, always the same ones in the same order."""
    return _generated_sentences()[::3] + [_PROSE.replace("\n", " ")] * 40


def answers(count: int, seed: int) -> list[str]:
    """`count` answers of one to four sentences, each sentence with a space before it; the same for a seed."""
    random = Random(seed)
    generated = _generated_sentences()
    prose = re.split(r"(?<=[.!?]) ", _PROSE.replace("\n", " "))

    def sentence() -> str:
        return " " + random.choice(prose if random.random() < 0.4 else generated)

    return ["".join(sentence() for _ in range(random.choice((1, 2, 2, 3, 4)))) for _ in range(count)]


def _generated_sentences() -> list[str]:
    columns = ([part.strip() for part in text.split(",")] for text in (_SUBJECTS, _VERBS, _OBJECTS))
    return [f"{subject} {verb} {thing}." for subject, verb, thing in product(*columns)]
