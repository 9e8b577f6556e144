"""What a generation may be, so that none of them ends the library's loop."""

from __future__ import annotations

from llmtrace_inference.engine.interface import Generation, ModelInfo, RequestTooLarge


def check_generation_limits(generation: Generation, info: ModelInfo, fits_cache: bool) -> None:
    """ValueError for what validation at the edge must have refused; RequestTooLarge for what cannot fit."""
    prompt, limit = len(generation.prompt_ids), info.context_length
    if prompt == 0 or generation.max_tokens < 1:
        raise ValueError("a request needs at least one prompt token and max_tokens of at least 1")
    if not all(0 <= i < info.vocab_size for i in generation.prompt_ids):
        raise ValueError("a prompt token is outside the vocabulary")
    if generation.temperature < 0 or not 0 < generation.top_p <= 1:
        raise ValueError("temperature must be at least 0, top_p above 0 and at most 1")
    if not 0 <= generation.min_p <= 1:
        raise ValueError("min_p must be between 0 and 1")
    if generation.top_k is not None and not 1 <= generation.top_k <= info.vocab_size:
        raise ValueError(f"top_k must be between 1 and {info.vocab_size}")
    if generation.total_tokens > limit or not fits_cache:
        raise RequestTooLarge(
            f"{prompt} prompt tokens and max_tokens {generation.max_tokens} exceed the {limit} tokens "
            f"that model {info.name} can hold: shorten the messages or lower max_tokens"
        )
