"""Chat, completions, embeddings, images and ranking: what recordings and samples hold already."""

from __future__ import annotations

from typing import Final

from .endpoint import Endpoint
from .replayed import replayed

_USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": _USAGE,
}
_CHUNKS = (
    {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    },
    {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [],
        "usage": _USAGE,
    },
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "chat completions",
        "OpenAI",
        replayed(
            "/v1/chat/completions",
            {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
            _CHAT,
            _CHUNKS,
        ),
        spans=("chat",),
        usage={"InputTokens": 12, "OutputTokens": 5},
        price="listed",
        streams=True,
    ),
)
