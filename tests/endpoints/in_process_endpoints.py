"""Models inside the process, observed by `llmtrace.observe_model`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import llmtrace
from tests.in_process_models import Llama, small_model, vllm_stand_in

from .endpoint import Endpoint

_PRICE: Final = "no list has a price: your own, or none"


def _transformers(stream: bool) -> None:
    """Four tokens in, three out."""
    import torch
    from transformers.generation.streamers import BaseStreamer

    class Quiet(BaseStreamer):
        def put(self, value: Any) -> None:
            """Nobody reads it."""

        def end(self) -> None:
            """Nor this."""

    model = llmtrace.observe_model(small_model(), name="small-model")
    options = {"streamer": Quiet()} if stream else {}
    model.generate(torch.tensor([[5, 6, 7, 8]]), max_new_tokens=3, min_new_tokens=3, **options)


def _llama_cpp(method: str) -> Callable[[bool], None]:
    def send(stream: bool) -> None:
        model = llmtrace.observe_model(Llama("/models/small.gguf"))
        asked: Any = [{"role": "user", "content": "Hello"}] if method == "create_chat_completion" else "Hello"
        answer = getattr(model, method)(asked, stream=stream)
        if stream:
            list(answer)

    return send


def _vllm(method: str) -> Callable[[bool], None]:
    def send(stream: bool) -> None:
        model = llmtrace.observe_model(vllm_stand_in())
        if method == "chat":
            model.chat([{"role": "user", "content": "Hello"}])
        else:
            model.generate(["Hello", "Hi"])

    return send


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "`model.generate` in the process",
        "Transformers",
        _transformers,
        ("text_completion",),
        {"InputTokens": 4, "OutputTokens": 3},
        "unpriced",
        streams=True,
        source="client",
        remark=f"with `observe_model`; {_PRICE}",
    ),
    Endpoint(
        "`create_chat_completion` in the process",
        "llama.cpp",
        _llama_cpp("create_chat_completion"),
        ("chat",),
        {"InputTokens": 12, "OutputTokens": 5},
        "unpriced",
        source="client",
        remark="with `observe_model`; a stream counts nothing, so its tokens are estimated",
    ),
    Endpoint(
        "`create_completion` in the process",
        "llama.cpp",
        _llama_cpp("create_completion"),
        ("text_completion",),
        {"InputTokens": 12, "OutputTokens": 5},
        "unpriced",
        source="client",
        remark="with `observe_model`; streams as above",
    ),
    Endpoint(
        "`LLM.generate` in the process",
        "vLLM",
        _vllm("generate"),
        ("text_completion",),
        {"InputTokens": 3, "OutputTokens": 4},
        "unpriced",
        source="client",
        remark="with `observe_model`; tried on a stand-in of its signature",
    ),
    Endpoint(
        "`LLM.chat` in the process",
        "vLLM",
        _vllm("chat"),
        ("chat",),
        {"InputTokens": 2, "OutputTokens": 2},
        "unpriced",
        source="client",
        remark="with `observe_model`; tried on a stand-in of its signature",
    ),
    Endpoint(
        "other engines in the process",
        "ExLlama, MLX, ONNX Runtime, CTranslate2",
        remark="`observe_model` on a function of yours gives them a span, and usage that it returns",
    ),
)
