"""What can never fit is refused before anybody turns it to tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.protocol.errors import invalid_value

LONG_PROMPT_CHARACTERS = 8_000
"""Longer prompts are tokenised in a thread, so that they do not hold up everybody's tokens."""


def check_prompt_sizes(prompts: Iterable[Sequence[str | list[int]]], engine: Engine, field: str) -> None:
    """Raises ApiError 400 for a prompt, of parts as text or token ids, that is longer than the context.

    A text is longer for certain where even the longest token of the model, all along, would not do.
    """
    most = engine.info.context_length
    longest = engine.tokenizer.longest_token
    for parts in prompts:
        least = sum(-(-len(part) // longest) if isinstance(part, str) else len(part) for part in parts)
        if least > most:
            message = f"the prompt is longer than the {most} tokens that model {engine.info.name} can hold"
            raise invalid_value(field, f"{message}: shorten it", code="context_length_exceeded")
