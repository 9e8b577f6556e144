"""Sampling and length settings, which all providers have under a few spellings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .format import Json, either, put_float, put_int, put_texts

_FLOATS: Final = {
    semconv.REQUEST_TEMPERATURE: ("temperature",),
    semconv.REQUEST_TOP_P: ("top_p", "topP", "p"),
    semconv.REQUEST_FREQUENCY_PENALTY: ("frequency_penalty", "frequencyPenalty"),
    semconv.REQUEST_PRESENCE_PENALTY: ("presence_penalty", "presencePenalty"),
}
_INTS: Final = {
    semconv.REQUEST_TOP_K: ("top_k", "topK", "k"),
    semconv.REQUEST_MAX_TOKENS: (
        "max_completion_tokens",
        "max_tokens",
        "max_output_tokens",
        "maxOutputTokens",
        "maxTokens",
        "max_new_tokens",
        "maxTokenCount",
        "max_gen_len",
        "num_predict",
    ),
    semconv.REQUEST_SEED: ("seed", "random_seed"),
}
_STOPS: Final = ("stop", "stop_sequences", "stopSequences")
_CHOICES: Final = ("n", "candidateCount", "candidate_count")


def _put_choices(put: dict[str, AttributeValue], key: str, value: Json) -> None:
    if value != 1:
        put_int(put, key, value)


_Put = Callable[[dict[str, AttributeValue], str, Json], None]
_KINDS: Final[tuple[tuple[_Put, dict[str, tuple[str, ...]]], ...]] = (
    (put_float, _FLOATS),
    (put_int, _INTS),
    (put_texts, {semconv.REQUEST_STOP_SEQUENCES: _STOPS}),
    (_put_choices, {semconv.REQUEST_CHOICE_COUNT: _CHOICES}),
)
# By spelling: a request has few of them.
_KNOWN: Final = {
    name: (how, key, names) for how, kind in _KINDS for key, names in kind.items() for name in names
}


def put_settings(put: dict[str, AttributeValue], sent: Any) -> None:
    """The settings in an object of a request, wherever its provider keeps them."""
    for name in sent:
        known = _KNOWN.get(name)
        if known is not None:
            how, key, names = known
            how(put, key, either(sent, *names))
