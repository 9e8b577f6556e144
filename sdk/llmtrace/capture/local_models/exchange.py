"""What one call of a model in the process is, for a library's module to say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire.format import Json, Translation, WireFormat, mapping, put_text, whole
from llmtrace.wire.openai import chat, completions
from llmtrace.wire.openai.shared import put_usage


def _asked_model(body: Json, path: str, content: bool) -> Translation:
    translation = Translation()
    put_text(translation.attributes, semconv.REQUEST_MODEL, mapping(body).get("model"))
    return translation


def _counted(body: Json, content: bool) -> Translation:
    translation = Translation()
    put_text(translation.attributes, semconv.RESPONSE_MODEL, mapping(body).get("model"))
    put_usage(translation.attributes, mapping(mapping(body).get("usage")))
    return translation


#: Of a model that writes no text, or of which nothing is known but its name.
_PREDICTION: Final = WireFormat(
    provider="",
    operation=semconv.PREDICT_OPERATION,
    endings=(),
    matches=lambda path, body: False,
    request=_asked_model,
    response=_counted,
    fold=whole,
)
CHAT_PATH: Final = "/v1/chat/completions"
COMPLETIONS_PATH: Final = "/v1/completions"
Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]
"""By position, and by name."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, as a request over HTTP.

    body: serialized, as the program may change what it gave; or what makes it of values of our own, on the
    delivery thread. has_text: whether messages are known as text.
    """

    wire_format: WireFormat
    path: str
    body: bytes | Callable[[], Mapping[str, Json]]
    has_text: bool = True


def serialized(body: Json) -> bytes:
    """As JSON; of what JSON has not, its text."""
    return json.dumps(body, default=str).encode()


def chat_request(body: Mapping[str, Json]) -> Request:
    """A conversation."""
    return Request(chat.FORMAT, CHAT_PATH, serialized(body))


def completion_request(body: Mapping[str, Json]) -> Request:
    """A text that is gone on with."""
    return Request(completions.FORMAT, COMPLETIONS_PATH, serialized(body))


def prediction_request(model: str) -> Request:
    """Something that is no text."""
    return Request(_PREDICTION, "", serialized({"model": model}), has_text=False)


@dataclass(slots=True)
class Tokens:
    """Tokens of one call, summed over its sequences."""

    input: int = 0
    output: int = 0

    def usage(self) -> dict[str, Json]:
        """As a body has it; empty where nothing was counted."""
        if not self.input and not self.output:
            return {}
        return {"prompt_tokens": self.input, "completion_tokens": self.output}


@dataclass(slots=True)
class Answer:
    """What came of it.

    body: makes the body of an answer over HTTP, on the delivery thread. tokens, reasons: what a call around
    this one counts, and why its sequences ended, where that does not know it.
    """

    body: Callable[[], Json]
    tokens: Tokens = field(default_factory=Tokens)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Observation:
    """How a model is observed.

    name: the model's. tokenizer: what makes text of its tokens, None where text is not recorded.
    """

    name: str
    provider: str
    tokenizer: Any = None


def never(arguments: Arguments) -> bool:
    """No call of this library's is lazy."""
    return False


def as_given(arguments: Arguments, first_token: Callable[[], None]) -> Arguments:
    """Nothing in the arguments tells when the first token came."""
    return arguments


@dataclass(frozen=True, slots=True)
class Library:
    """How one library's models are called.

    methods: those of its models that are calls.
    describe: model → (its name, the provider, what makes text of its tokens), as it says itself.
    request: (observation, method, arguments) → what is asked; on the caller's thread.
    answer: (observation, model, arguments, result) → what came, a stream excepted; on the caller's thread.
    is_lazy: whether a call only begins what it does.
    watched: the arguments with which the first token is noted.
    """

    methods: tuple[str, ...]
    describe: Callable[[Any], tuple[str, str, Any]]
    request: Callable[[Observation, str, Arguments], Request]
    answer: Callable[[Observation, Any, Arguments, Any], Answer]
    is_lazy: Callable[[Arguments], bool] = never
    watched: Callable[[Arguments, Callable[[], None]], Arguments] = as_given


def argument(arguments: Arguments, position: int, *names: str) -> Any:
    """The argument at a position or under one of its names; None where it was not given."""
    by_position, by_name = arguments
    if len(by_position) > position:
        return by_position[position]
    return next((by_name[name] for name in names if by_name.get(name) is not None), None)


def is_number(value: Any) -> bool:
    """Whether it is one that JSON has."""
    return isinstance(value, int | float) and not isinstance(value, bool)
