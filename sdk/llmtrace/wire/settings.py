"""Sampling and length settings, which all providers have under a few spellings."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from .. import semconv
from .base import either, put_float, put_int, put_texts

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


def put_settings(put: dict[str, AttributeValue], sent: Any) -> None:
    """The settings in an object of a request, wherever its provider keeps them."""
    for key, names in _FLOATS.items():
        put_float(put, key, either(sent, *names))
    for key, names in _INTS.items():
        put_int(put, key, either(sent, *names))
    put_texts(put, semconv.REQUEST_STOP_SEQUENCES, either(sent, *_STOPS))
    choices = either(sent, *_CHOICES)
    if choices != 1:
        put_int(put, semconv.REQUEST_CHOICE_COUNT, choices)
