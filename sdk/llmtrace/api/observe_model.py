"""`llmtrace.observe_model`: calls of a model that runs inside the process, as spans."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from llmtrace.internal_errors import swallow

Model = TypeVar("Model")

_OBSERVING: Final = swallow("observing a model")


def observe_model(
    model: Model, *, name: str | None = None, provider: str | None = None, tokenizer: Any = None
) -> Model:
    """Record each call of a model in this process, with its tokens. Gives the model itself.

    model: a model of transformers (`generate`) or one built like it, one of its pipelines, a
        `llama_cpp.Llama`, a `vllm.LLM`; or a function that runs a model, of which a wrapper comes back. Of
        anything else nothing is recorded, and the log says so.
    name: the model's name, default what it says itself.
    provider: `gen_ai.provider.name`, default the library. No list has a price for these; the settings can.
    tokenizer: what decodes tokens, so that a model of transformers has messages too; pipelines bring theirs.

    One call of a method is one span, however many prompts it was given: their tokens are summed. What an
    observed model calls of another observed one is a part of the same call. Observing twice changes name,
    provider and tokenizer; never raises.
    """
    with _OBSERVING:
        from llmtrace.capture.local_models import observed

        observed_model: Model = observed.observe(model, name, provider, tokenizer)
        return observed_model
    return model


def unobserve_model(model: Model) -> Model:
    """Undo `observe_model`. Gives the model, of an observed function the function; never raises."""
    with _OBSERVING:
        from llmtrace.capture.local_models import observed

        former: Model = observed.forget(model)
        return former
    return model
