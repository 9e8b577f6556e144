"""Models for the process: a small one of transformers without weights, and stand-ins of larger engines.

The stand-ins have the signatures and results of `llama_cpp.Llama` (0.3) and `vllm.LLM` (0.11).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


def small_model(**config: Any) -> Any:
    """A Llama with two layers and a vocabulary of 64, of random weights that are the same each time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    sizes = {
        "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    model: Any = LlamaForCausalLM(LlamaConfig(**{**sizes, **config}))
    return model.eval()


USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


class Llama:
    """As `llama_cpp.Llama`: answers of OpenAI's shape, `__call__` by `create_completion`."""

    def __init__(self, model_path: str) -> None:
        self.model_path = model_path

    def create_completion(self, prompt: Any, *, max_tokens: int = 16, stream: bool = False) -> Any:
        """A completion, or an iterator of its pieces, without usage."""
        head = {"id": "cmpl-1", "object": "text_completion", "model": self.model_path}
        if stream:
            return self._pieces(head)
        return {**head, "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}], "usage": USAGE}

    def _pieces(self, head: Any) -> Iterator[Any]:
        for text, reason in (("H", None), ("i", None), ("", "stop")):
            yield {**head, "choices": [{"index": 0, "text": text, "finish_reason": reason}]}

    def __call__(self, prompt: Any, **options: Any) -> Any:
        return self.create_completion(prompt, **options)

    def create_chat_completion(self, messages: Any, *, stream: bool = False, **options: Any) -> Any:
        """The same as a conversation, by `create_completion`."""
        if messages and messages[0].get("content") == "fail":
            raise ValueError("no such chat format")
        completion = self.create_completion("prompt", stream=stream)
        if stream:
            return self._deltas(completion)
        message = {"role": "assistant", "content": completion["choices"][0]["text"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**completion, "id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}

    def _deltas(self, pieces: Iterator[Any]) -> Iterator[Any]:
        for piece in pieces:
            choice = piece["choices"][0]
            delta = {"content": choice["text"]} if choice["text"] else {}
            yield {
                **piece,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta, "finish_reason": choice["finish_reason"]}],
            }


@dataclass
class CompletionOutput:
    """As vLLM's."""

    text: str
    token_ids: list[int]
    finish_reason: str = "stop"
    index: int = 0


@dataclass
class RequestOutput:
    """As vLLM's."""

    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    num_cached_tokens: int = 0
    finished: bool = True


@dataclass
class LLM:
    """As `vllm.LLM`; a token for each word that is asked, and two for each that is answered."""

    llm_engine: Any = field(
        default_factory=lambda: SimpleNamespace(model_config=SimpleNamespace(model="org/small-llm"))
    )

    def generate(self, prompts: Any, sampling_params: Any = None, *, use_tqdm: bool = True) -> Any:
        """One output for each prompt."""
        texts = [prompts] if isinstance(prompts, str) else prompts
        return [
            RequestOutput(text, [index + 1] * (index + 1), [CompletionOutput("Hi", [3, 4])])
            for index, text in enumerate(texts)
        ]

    def chat(self, messages: Any, sampling_params: Any = None, **options: Any) -> Any:
        """By `generate`, of the conversation as a text."""
        (output,) = self.generate(["chat"])
        output.prompt_token_ids = [1, 2]
        return [output]


def vllm_stand_in() -> LLM:
    """One."""
    return LLM()
