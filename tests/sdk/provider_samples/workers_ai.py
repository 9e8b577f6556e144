"""Exchanges of Workers AI."""

from __future__ import annotations

from tests.sdk.wire_samples import Sample

SAMPLES: list[Sample] = [
    Sample(
        "workers ai",
        "/client/v4/accounts/a1/ai/run/@cf/meta/llama-3",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
        {
            "result": {
                "response": "Hello",
                "usage": {"prompt_tokens": 5, "completion_tokens": 2},
                "tool_calls": [],
            },
            "success": True,
            "errors": [],
            "messages": [],
        },
        "chat",
        "cloudflare",
        ["stop"],
        {"input_tokens": 5, "output_tokens": 2},
        [("text", "Hello")],
        model="@cf/meta/llama-3",
    ),
    Sample(
        "workers ai, streamed",
        "/client/v4/accounts/a1/ai/run/@cf/meta/llama-3",
        {"messages": [{"role": "user", "content": "hi"}], "stream": True},
        [
            {"response": "Hel", "p": "abc"},
            {"response": "lo", "p": "abcd"},
            {"response": "", "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
        ],
        "chat",
        "cloudflare",
        ["stop"],
        {"input_tokens": 5, "output_tokens": 2},
        [("text", "Hello")],
        model="@cf/meta/llama-3",
    ),
    Sample(
        "workers ai embeddings",
        "/client/v4/accounts/a1/ai/run/@cf/baai/bge-m3",
        {"text": ["a", "b"]},
        {"result": {"shape": [2, 2], "data": [[0.1, 0.2], [0.3, 0.4]], "pooling": "mean"}, "success": True},
        "embeddings",
        "cloudflare",
        None,
        {},
        [],
        model="@cf/baai/bge-m3",
        more={"gen_ai.embeddings.dimension.count": 2},
    ),
]
