"""Exchanges of watsonx."""

from __future__ import annotations

from typing import Any

from tests.sdk.wire_samples import Sample

WATSONX_CHAT: dict[str, Any] = {
    "id": "chat-1",
    "model_id": "ibm/granite",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}

SAMPLES: list[Sample] = [
    Sample(
        "watsonx chat",
        "/ml/v1/text/chat",
        {"model_id": "m", "project_id": "p", "messages": [{"role": "user", "content": "hi"}]},
        WATSONX_CHAT,
        "chat",
        "ibm.watsonx.ai",
        ["stop"],
        {"input_tokens": 5, "output_tokens": 2},
        [("text", "Hello")],
        more={"gen_ai.response.model": "ibm/granite"},
    ),
    Sample(
        "watsonx chat stream of a deployment",
        "/ml/v1/deployments/d1/text/chat_stream",
        {"messages": [{"role": "user", "content": "hi"}]},
        [
            {"id": "1", "model_id": "ibm/granite", "choices": [{"index": 0, "delta": {"content": "Hel"}}]},
            {
                "id": "1",
                "model_id": "ibm/granite",
                "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}],
            },
            {"id": "1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
        ],
        "chat",
        "ibm.watsonx.ai",
        ["stop"],
        {"input_tokens": 5, "output_tokens": 2},
        [("text", "Hello")],
        model="d1",
        more={"gen_ai.response.model": "ibm/granite"},
    ),
    Sample(
        "watsonx generation",
        "/ml/v1/text/generation",
        {"model_id": "m", "input": "hi", "parameters": {"max_new_tokens": 5, "decoding_method": "greedy"}},
        {
            "model_id": "m",
            "results": [
                {
                    "generated_text": "Hello",
                    "generated_token_count": 2,
                    "input_token_count": 1,
                    "stop_reason": "max_tokens",
                }
            ],
        },
        "text_completion",
        "ibm.watsonx.ai",
        ["length"],
        {"input_tokens": 1, "output_tokens": 2},
        [("text", "Hello")],
        more={"gen_ai.request.max_tokens": 5},
    ),
    Sample(
        "watsonx generation stream",
        "/ml/v1/text/generation_stream",
        {"model_id": "m", "input": "hi"},
        [
            {
                "model_id": "m",
                "results": [
                    {
                        "generated_text": "",
                        "generated_token_count": 0,
                        "input_token_count": 1,
                        "stop_reason": "not_finished",
                    }
                ],
            },
            {
                "model_id": "m",
                "results": [
                    {
                        "generated_text": "Hel",
                        "generated_token_count": 1,
                        "input_token_count": 0,
                        "stop_reason": "not_finished",
                    }
                ],
            },
            {
                "model_id": "m",
                "results": [
                    {
                        "generated_text": "lo",
                        "generated_token_count": 2,
                        "input_token_count": 0,
                        "stop_reason": "eos_token",
                    }
                ],
            },
        ],
        "text_completion",
        "ibm.watsonx.ai",
        ["stop"],
        {"input_tokens": 1, "output_tokens": 2},
        [("text", "Hello")],
    ),
    Sample(
        "watsonx embeddings",
        "/ml/v1/text/embeddings",
        {"model_id": "m", "inputs": ["a", "b"]},
        {"model_id": "m", "results": [{"embedding": [0.1, 0.2]}], "input_token_count": 4},
        "embeddings",
        "ibm.watsonx.ai",
        None,
        {"input_tokens": 4},
        [],
        more={"gen_ai.embeddings.dimension.count": 2},
    ),
    Sample(
        "watsonx rerank",
        "/ml/v1/text/rerank",
        {
            "model_id": "m",
            "inputs": [{"text": "a"}, {"text": "b"}],
            "query": "which?",
            "parameters": {"return_options": {"top_n": 1, "inputs": True}},
        },
        {
            "model_id": "m",
            "results": [{"index": 1, "score": 0.5, "input": {"text": "b"}}],
            "input_token_count": 9,
        },
        "rerank",
        "ibm.watsonx.ai",
        None,
        {"input_tokens": 9},
        [],
        more={
            "gen_ai.retrieval.top_k": 1,
            "gen_ai.retrieval.documents": '[{"id":"1","score":0.5,"content":"b"}]',
        },
    ),
]
