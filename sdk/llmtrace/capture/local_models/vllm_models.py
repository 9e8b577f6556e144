"""vLLM's `LLM` in the process: `generate` and `chat`. One call is one span, with its prompts' tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmtrace.wire.format import Json

from .exchange import (
    Answer,
    Arguments,
    Library,
    Observation,
    Request,
    Tokens,
    argument,
    chat_request,
    completion_request,
    is_number,
)

_METHODS: Final = ("generate", "chat")
_PARAMS: Final = ("max_tokens", "temperature", "top_p", "top_k", "seed", "n", "presence_penalty")


def describe(model: Any) -> tuple[str, str, Any]:
    """See `Library`."""
    for owner in (getattr(model, "llm_engine", None), model):
        name = getattr(getattr(owner, "model_config", None), "model", None)
        if isinstance(name, str):
            return name, "vllm", None
    return "vllm", "vllm", None


def request(observation: Observation, method: str, arguments: Arguments) -> Request:
    """See `Library`."""
    body: dict[str, Json] = {"model": observation.name}
    params = argument(arguments, 1, "sampling_params")
    params = params[0] if isinstance(params, list) and params else params
    body.update({name: value for name in _PARAMS if is_number(value := getattr(params, name, None))})
    asked = argument(arguments, 0, "messages" if method == "chat" else "prompts")
    if method == "chat":
        chats = asked if asked and isinstance(asked[0], list) else [asked or []]
        return chat_request({**body, "messages": [message for chat in chats for message in chat]})
    prompts = asked if isinstance(asked, list | tuple) else [asked]
    return completion_request({**body, "prompt": [_prompt(prompt) for prompt in prompts]})


def answer(observation: Observation, model: Any, arguments: Arguments, result: Any) -> Answer:
    """See `Library`."""
    outputs = [*result] if isinstance(result, list | tuple) else [result]
    completions = [completion for output in outputs for completion in getattr(output, "outputs", ())]
    tokens = Tokens(
        sum(len(getattr(output, "prompt_token_ids", None) or ()) for output in outputs),
        sum(len(getattr(completion, "token_ids", None) or ()) for completion in completions),
    )
    cached = sum(getattr(output, "num_cached_tokens", None) or 0 for output in outputs)

    def body() -> Json:
        choices = [
            {
                "index": index,
                "text": completion.text,
                "message": {"role": "assistant", "content": completion.text},
                "finish_reason": completion.finish_reason,
            }
            for index, completion in enumerate(completions)
        ]
        usage = tokens.usage()
        if usage:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return {"model": observation.name, "choices": choices, "usage": usage}

    return Answer(body, tokens)


def _prompt(prompt: Any) -> Json:
    """A text, or the tokens of one."""
    if isinstance(prompt, Mapping):
        return prompt.get("prompt") or [*(prompt.get("prompt_token_ids") or ())]
    return prompt if isinstance(prompt, str) else [*prompt] if isinstance(prompt, list | tuple) else ""


LIBRARY: Final = Library(_METHODS, describe, request, answer)
