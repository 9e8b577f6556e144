"""Pipelines of transformers. The tokens of one that generates are those of the model's calls within."""

from __future__ import annotations

from typing import Any, Final

from llmtrace.wire.format import Json, items, mapping

from . import transformers_models
from .exchange import (
    Answer,
    Arguments,
    Library,
    Observation,
    Request,
    argument,
    chat_request,
    completion_request,
    prediction_request,
)

_METHODS: Final = ("__call__",)
_TEXT_TASKS: Final = frozenset(
    {"text-generation", "text2text-generation", "summarization", "translation", "image-text-to-text"}
)
_PARAMS: Final = {"max_new_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p"}
_TEXTS: Final = ("generated_text", "summary_text", "translation_text")


def describe(pipeline: Any) -> tuple[str, str, Any]:
    """See `Library`."""
    name, provider, _ = transformers_models.describe(pipeline.model)
    return name, provider, getattr(pipeline, "tokenizer", None)


def is_lazy(arguments: Arguments) -> bool:
    """Whether the inputs are read while the results are: the model's calls are spans of their own then."""
    asked = _asked(arguments)
    if isinstance(asked, str | bytes | list | tuple | dict) or hasattr(asked, "__array__"):
        return False
    return hasattr(asked, "__next__") or hasattr(asked, "__getitem__")


def request(observation: Observation, method: str, arguments: Arguments) -> Request:
    """See `Library`."""
    kwargs = arguments[1]
    asked = _asked(arguments)
    body: dict[str, Json] = {"model": observation.name}
    body.update({field: kwargs[name] for name, field in _PARAMS.items() if name in kwargs})
    if _is_chat(asked):
        return chat_request({**body, "messages": [*asked]})
    texts = [asked] if isinstance(asked, str) else asked
    if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
        return completion_request({**body, "prompt": [*texts]})
    if isinstance(texts, list | tuple) and texts and all(map(_is_chat, texts)):
        return chat_request({**body, "messages": [message for chat in texts for message in chat]})
    return prediction_request(observation.name)


def answer(observation: Observation, pipeline: Any, arguments: Arguments, result: Any) -> Answer:
    """See `Library`."""
    asked = _asked(arguments)
    prompts = [asked] if isinstance(asked, str) else asked

    def body() -> Json:
        if getattr(pipeline, "task", "") not in _TEXT_TASKS:
            return {"model": observation.name}
        groups = result if result and isinstance(result[0], list) else [result]
        choices = [
            _choice(item, prompts[index] if index < len(prompts) else None)
            for index, group in enumerate(groups)
            for item in items(group)
        ]
        return {
            "model": observation.name,
            "choices": [{**choice, "index": index} for index, choice in enumerate(choices)],
        }

    return Answer(body)


def _asked(arguments: Arguments) -> Any:
    return argument(arguments, 0, "text_inputs", "inputs", "text", "images")


def _is_chat(value: Any) -> bool:
    is_list = isinstance(value, list | tuple) and bool(value)
    return is_list and all(isinstance(message, dict) and "role" in message for message in value)


def _choice(item: Json, prompt: Json) -> dict[str, Json]:
    """One answer; a text that repeats what was asked is told without it."""
    fields = mapping(item)
    generated = next((fields[name] for name in _TEXTS if name in fields), None)
    if isinstance(generated, list):
        return {"message": generated[-1] if generated else {}, "finish_reason": None}
    text = generated if isinstance(generated, str) else ""
    return {"text": text.removeprefix(prompt) if isinstance(prompt, str) else text, "finish_reason": None}


LIBRARY: Final = Library(_METHODS, describe, request, answer, is_lazy=is_lazy)
