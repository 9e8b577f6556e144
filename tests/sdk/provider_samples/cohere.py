"""Exchanges of Cohere's first API."""

from __future__ import annotations

from typing import Any

from tests.sdk.wire_samples import Sample, estimated

from .shared import NO_TOKENS

COHERE_META = {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 5.0, "output_tokens": 7.0}}
COHERE_CHAT: dict[str, Any] = {
    "text": "Hello",
    "generation_id": "g1",
    "finish_reason": "COMPLETE",
    "tool_calls": [{"name": "f", "parameters": {"a": 1}}],
    "meta": COHERE_META,
}

SAMPLES: list[Sample] = [
    Sample(
        "cohere v1 chat",
        "/v1/chat",
        {
            "message": "hi",
            "model": "m",
            "preamble": "be kind",
            "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}],
            "tools": [{"name": "f", "description": "d", "parameter_definitions": {}}],
            "tool_results": [{"call": {"name": "f", "parameters": {}}, "outputs": [{"r": 1}]}],
            "p": 0.5,
        },
        COHERE_CHAT,
        "chat",
        "cohere",
        ["stop"],
        {"input_tokens": 5, "output_tokens": 7},
        [("text", "Hello"), ("tool_call", {"a": 1})],
        more={"gen_ai.response.id": "g1", "gen_ai.request.top_p": 0.5},
    ),
    Sample(
        "cohere v1 chat stream",
        "/v1/chat",
        {"message": "hi", "model": "m", "stream": True},
        [
            {"is_finished": False, "event_type": "stream-start", "generation_id": "g1"},
            {"is_finished": False, "event_type": "text-generation", "text": "Hel"},
            {"is_finished": False, "event_type": "text-generation", "text": "lo"},
            {
                "is_finished": True,
                "event_type": "stream-end",
                "finish_reason": "MAX_TOKENS",
                "response": {**COHERE_CHAT, "finish_reason": "MAX_TOKENS"},
            },
        ],
        "chat",
        "cohere",
        ["length"],
        {"input_tokens": 5, "output_tokens": 7},
        [("text", "Hello"), ("tool_call", {"a": 1})],
        framing="ndjson",
    ),
    Sample(
        "cohere v1 chat stream that breaks",
        "/v1/chat",
        {"message": "hi", "model": "m", "stream": True},
        [
            {"is_finished": False, "event_type": "stream-start", "generation_id": "g1"},
            {"is_finished": False, "event_type": "text-generation", "text": "Hel"},
        ],
        "chat",
        "cohere",
        ["error"],
        estimated(input=8, output=1),
        [("text", "Hel")],
        framing="ndjson",
    ),
    Sample(
        "cohere v1 generate",
        "/v1/generate",
        {"prompt": "hi", "model": "m", "num_generations": 2, "k": 3},
        {
            "id": "c1",
            "prompt": "hi",
            "generations": [{"id": "a", "text": "Hello"}, {"id": "b", "text": "yo"}],
            "meta": COHERE_META,
        },
        "text_completion",
        "cohere",
        None,
        {"input_tokens": 5, "output_tokens": 7},
        [("text", "Hello"), ("text", "yo")],
        more={"gen_ai.request.choice.count": 2, "gen_ai.request.top_k": 3},
    ),
    Sample(
        "cohere v1 generate stream",
        "/v1/generate",
        {"prompt": "hi", "model": "m", "stream": True},
        [
            {"event_type": "text-generation", "text": "Hel", "is_finished": False},
            {"event_type": "text-generation", "text": "lo", "is_finished": False},
            {
                "event_type": "stream-end",
                "is_finished": True,
                "finish_reason": "COMPLETE",
                "response": {
                    "id": "c1",
                    "prompt": "hi",
                    "generations": [{"id": "a", "text": "Hello", "finish_reason": "COMPLETE"}],
                },
            },
        ],
        "text_completion",
        "cohere",
        ["stop"],
        estimated(input=8, output=1),
        [("text", "Hello")],
        framing="ndjson",
    ),
    Sample(
        "cohere v1 summarize",
        "/v1/summarize",
        {"text": "hi", "model": "m", "length": "short"},
        {"id": "c1", "summary": "Hello", "meta": COHERE_META},
        "text_completion",
        "cohere",
        None,
        {"input_tokens": 5, "output_tokens": 7},
        [("text", "Hello")],
    ),
    Sample(
        "cohere v1 classify",
        "/v1/classify",
        {"inputs": ["a", "b"], "examples": [{"text": "x", "label": "y"}], "model": "m"},
        {
            "id": "c1",
            "classifications": [{"id": "1", "input": "a", "prediction": "y", "confidence": 0.5}],
            "meta": {"billed_units": {"classifications": 2}},
        },
        "predict",
        "cohere",
        None,
        {**NO_TOKENS, "classifications": 2},
        [],
    ),
]
