"""Sampling and length parameters, which all providers have under a few spellings."""

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


def _put_choices(attributes: dict[str, AttributeValue], key: str, value: Json) -> None:
    if value != 1:
        put_int(attributes, key, value)


_Setter = Callable[[dict[str, AttributeValue], str, Json], None]
_BY_SETTER: Final[tuple[tuple[_Setter, dict[str, tuple[str, ...]]], ...]] = (
    (put_float, _FLOATS),
    (put_int, _INTS),
    (put_texts, {semconv.REQUEST_STOP_SEQUENCES: _STOPS}),
    (_put_choices, {semconv.REQUEST_CHOICE_COUNT: _CHOICES}),
)
# A request has few of them.
_BY_SPELLING: Final = {
    spelling: (setter, key, spellings)
    for setter, keys in _BY_SETTER
    for key, spellings in keys.items()
    for spelling in spellings
}


def put_request_params(attributes: dict[str, AttributeValue], fields: Any) -> None:
    """The parameters in an object of a request, wherever its provider keeps them."""
    for name in fields:
        param = _BY_SPELLING.get(name)
        if param is not None:
            setter, key, spellings = param
            setter(attributes, key, either(fields, *spellings))
