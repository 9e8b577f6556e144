"""From a completion's body to what an engine takes: prompts as tokens, the grammar, how to sample."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from llmtrace_inference.engine.interface import Engine, Generation, Matcher, Tokenizer
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest

from .output_grammar import grammar_for

_LONG_PROMPT_CHARACTERS = 8_000
"""Longer conversations are tokenised in a thread, so that they do not hold up everybody's tokens."""


def refused(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """400 that names the field."""
    return ApiError(400, f"'{param}': {message}", code=code, param=param)


def check_against_model(body: ChatRequest | CompletionRequest, engine: Engine) -> None:
    """What only the model can tell: raises ApiError 400 for what it does not have."""
    info = engine.info
    if body.top_k is not None and body.top_k > info.vocab_size:
        raise refused("top_k", f"at most {info.vocab_size}, the size of the model's vocabulary")
    if isinstance(body, CompletionRequest):
        for prompt in body.prompts:
            if not isinstance(prompt, str) and max(prompt) >= info.vocab_size:
                raise refused("prompt", f"token ids are below {info.vocab_size}")
    elif body.tools and not engine.tokenizer.speaks_tools:
        raise refused(
            "tools",
            f"the chat template of model {info.name} knows no tools in a form that can be parsed",
            code="unsupported_parameter",
        )


async def matcher_for(body: ChatRequest | CompletionRequest, tokenizer: Tokenizer) -> Matcher | None:
    """The grammar that the answer has to keep to; None where anything may be said. Raises ApiError 400."""
    wanted = grammar_for(body) if isinstance(body, ChatRequest) else None
    if wanted is None:
        return None
    param, grammar = wanted
    try:
        # Compiling takes a second for a large vocabulary's first grammar, and long for a hard schema.
        return await asyncio.to_thread(tokenizer.matcher, grammar)
    except ValueError as error:
        raise refused(param, str(error)) from error
    except RuntimeError as error:
        raise refused(param, str(error), code="unsupported_parameter") from error


async def encode_prompts(body: ChatRequest | CompletionRequest, tokenizer: Tokenizer) -> list[list[int]]:
    """Each prompt's tokens. Raises ApiError 400 where the chat template refuses."""

    def encode() -> list[list[int]]:
        if isinstance(body, ChatRequest):
            return [tokenizer.encode_chat(body.template_messages(), body.template_tools())]
        return [tokenizer.encode(p) if isinstance(p, str) else p for p in body.prompts]

    try:
        if sum(map(len, body.prompt_parts)) > _LONG_PROMPT_CHARACTERS:
            return await asyncio.to_thread(encode)
        return encode()
    except ValueError as error:
        raise ApiError(400, str(error), code="invalid_value", param=body.prompt_field) from error


def generation_of(
    body: ChatRequest | CompletionRequest, request_id: str, max_tokens: int, priority: int
) -> Generation:
    """All that the body says of sampling; `for_choice` makes it that of one prompt and choice."""
    return Generation(
        request_id=request_id,
        prompt_ids=(),
        max_tokens=max_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k,
        min_p=body.min_p or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        seed=body.seed,
        logprobs=body.wanted_logprobs,
        every_token=body.stream or bool(body.stop),
        ignore_eos=bool(body.ignore_eos),
        priority=(body.priority or 0) + priority,
    )


def for_choice(
    generation: Generation, prompt_ids: list[int], index: int, which: int, matcher: Matcher | None
) -> Generation:
    """The request's choice `index`, the prompt's choice `which`, with a grammar of its own."""
    seed = generation.seed
    if seed is not None and which:
        seed = (seed + which * 0x9E3779B97F4A7C15) % 2**63  # the first choice is the one without n
    request_id = generation.request_id if index == 0 else f"{generation.request_id}-{index}"
    return replace(
        generation,
        request_id=request_id,
        prompt_ids=tuple(prompt_ids),
        seed=seed,
        matcher=matcher.deep_copy() if matcher is not None else None,
    )
