"""`model.generate` of transformers, and of what is built like its models (PEFT).

One call is one span, however many sequences it has: their tokens are summed. Padding is not counted, where
the attention mask or the token that pads tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final

from llmtrace.wire.format import Json
from llmtrace.wire.openai import completions

from .exchange import (
    COMPLETIONS_PATH,
    Answer,
    Arguments,
    Library,
    Observation,
    Request,
    Tokens,
    argument,
    is_number,
)

_METHODS: Final = ("generate",)
_PARAMS: Final = {
    "max_new_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "num_return_sequences": "n",
}
_STREAMER: Final = 8
_PROMPTS: Final = ("inputs", "input_ids")


def describe(model: Any) -> tuple[str, str, Any]:
    """See `Library`."""
    config = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", "") or getattr(model, "name_or_path", "")
    path = PurePath(str(name))
    return (path.name if path.is_absolute() else str(name)) or type(model).__name__, "transformers", None


def request(observation: Observation, method: str, arguments: Arguments) -> Request:
    """See `Library`."""
    kwargs = arguments[1]
    body: dict[str, Json] = {"model": observation.name}
    body.update({field: kwargs[name] for name, field in _PARAMS.items() if is_number(kwargs.get(name))})
    if argument(arguments, _STREAMER, "streamer") is not None:
        body["stream"] = True
    prompts = _rows(argument(arguments, 0, *_PROMPTS))
    masks = _rows(kwargs.get("attention_mask"))
    if masks and len(masks) == len(prompts):
        prompts = [
            [token for token, is_asked in zip(row, mask, strict=False) if is_asked]
            for row, mask in zip(prompts, masks, strict=True)
        ]
    tokenizer = observation.tokenizer

    def full_body() -> Mapping[str, Json]:
        return {**body, "prompt": _texts(tokenizer, prompts) if tokenizer is not None else prompts}

    return Request(completions.FORMAT, COMPLETIONS_PATH, full_body, has_text=tokenizer is not None)


def answer(observation: Observation, model: Any, arguments: Arguments, result: Any) -> Answer:
    """See `Library`."""
    kwargs = arguments[1]
    asked = argument(arguments, 0, *_PROMPTS)
    shape: tuple[int, ...] = getattr(asked, "shape", ())
    mask = kwargs.get("attention_mask")
    tokens = Tokens(input=_count(mask) if mask is not None else _size(shape))
    # An encoder's input is not in what the decoder gives, nor is what was asked as vectors.
    is_encoder = bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))
    skipped = 1 if is_encoder else (shape[-1] if len(shape) > 1 else 0)
    ends, pads = _special_tokens(model, kwargs)
    answers = [_ended(row[skipped:], ends, pads) for row in _rows(getattr(result, "sequences", result))]
    tokens.output = sum(len(row) for row, _ in answers)

    def body() -> Json:
        texts = _texts(observation.tokenizer, [row for row, _ in answers]) if observation.tokenizer else []
        return {
            "model": observation.name,
            "choices": [
                {"index": index, "text": texts[index] if texts else None, "finish_reason": reason}
                for index, (_, reason) in enumerate(answers)
            ],
            "usage": tokens.usage(),
        }

    return Answer(body, tokens, [reason for _, reason in answers])


def _special_tokens(model: Any, kwargs: Any) -> tuple[set[int], set[int]]:
    """(the tokens that end an answer, those that pad it)."""
    configs = kwargs, kwargs.get("generation_config"), getattr(model, "generation_config", None)
    ends, pads = _first(configs, "eos_token_id"), _first(configs, "pad_token_id")
    return _as_set(ends), _as_set(pads)


def _first(configs: tuple[Any, ...], name: str) -> Any:
    for config in configs:
        value = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
        if value is not None:
            return value
    return None


def _as_set(value: Any) -> set[int]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return {value} if isinstance(value, int) else set(value or ())


def _ended(row: list[int], ends: set[int], pads: set[int]) -> tuple[list[int], str]:
    """(the tokens up to the one that ends them, why they end): what follows is padding."""
    for index, token in enumerate(row):
        if token in ends:
            return row[: index + 1], "stop"
    while row and row[-1] in pads:
        row = row[:-1]
    return row, "length"


def _rows(value: Any) -> list[list[int]]:
    """Token ids of a tensor or list, of one sequence or several; none of what holds no ids."""
    if value is None or not hasattr(value, "tolist"):
        return []
    rows = value.tolist()
    if rows and not isinstance(rows[0], list):
        rows = [rows]
    return [row for row in rows if all(isinstance(token, int) for token in row)]


def _texts(tokenizer: Any, rows: list[list[int]]) -> list[str]:
    return [tokenizer.decode(row, skip_special_tokens=True) for row in rows]


def _count(mask: Any) -> int:
    return int(mask.sum()) if hasattr(mask, "sum") else 0


def _size(shape: Any) -> int:
    """Tokens in a tensor of ids; what has more dimensions holds none."""
    if not 1 <= len(shape) <= 2:
        return 0
    size = 1
    for length in shape:
        size *= int(length)
    return size


def watched(arguments: Arguments, first_token: Callable[[], None]) -> Arguments:
    """See `Library`: the streamer, where there is one, tells of it."""
    args, kwargs = arguments
    streamer = argument(arguments, _STREAMER, "streamer")
    if streamer is None:
        return arguments
    noting = _NotingStreamer(streamer, first_token)
    if len(args) > _STREAMER:
        return (*args[:_STREAMER], noting, *args[_STREAMER + 1 :]), kwargs
    return args, {**kwargs, "streamer": noting}


class _NotingStreamer:
    """The program's streamer; the second thing that it is given is the first token, after the prompt."""

    def __init__(self, streamer: Any, first_token: Callable[[], None]) -> None:
        self._streamer = streamer
        self._first_token = first_token
        self._count = 0

    def put(self, value: Any) -> Any:
        """Tokens."""
        self._count += 1
        if self._count == 2:
            self._first_token()
        return self._streamer.put(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streamer, name)


LIBRARY: Final = Library(_METHODS, describe, request, answer, watched=watched)
