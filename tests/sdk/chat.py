"""A chat completion, plain and streamed, and the span both must become."""

from __future__ import annotations

from typing import Any

from llmtrace import semconv
from llmtrace.testing import Answer, ReplayServer, sse

MODEL = "gpt-4o-mini"
REQUEST: dict[str, Any] = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": [{"type": "text", "text": "Weather in Bonn?"}]},
    ],
    "temperature": 0,
    "top_p": 0.5,
    "max_tokens": 50,
    "seed": 7,
    "stop": ["END"],
    "tools": [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Look it up", "parameters": {"type": "object"}},
        }
    ],
}
_HEAD = {
    "id": "chatcmpl-7",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_7",
}
_USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
PLAIN = Answer.json(
    {
        **_HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "Let me look.",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city": "Bonn"}'},
                        }
                    ],
                },
            }
        ],
        "usage": _USAGE,
    }
)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        **_HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _call(**function: str) -> dict[str, Any]:
    return _chunk({"tool_calls": [{"index": 0, "function": function}]})


EVENTS: list[dict[str, Any]] = [
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"content": "Let me "}),
    _chunk({"content": "look."}),
    _chunk(
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            ]
        }
    ),
    _call(arguments='{"city":'),
    _call(arguments=' "Bonn"}'),
    _chunk({}, "tool_calls"),
    {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE},
]
STREAM = sse(EVENTS)


def expected_span(server: ReplayServer, *, stream: bool) -> dict[str, Any]:
    """The whole span of REQUEST answered with PLAIN or STREAM."""
    return {
        "name": "chat gpt-4o-mini",
        "kind": "CLIENT",
        "status": ("UNSET", None),
        "events": [],
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "openai.api.type": "chat_completions",
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "http.response.status_code": 200,
            "gen_ai.request.model": MODEL,
            "gen_ai.request.temperature": 0.0,
            "gen_ai.request.top_p": 0.5,
            "gen_ai.request.max_tokens": 50,
            "gen_ai.request.seed": 7,
            "gen_ai.request.stop_sequences": ["END"],
            **({"gen_ai.request.stream": True} if stream else {}),
            "gen_ai.input.messages": (
                '[{"role":"system","parts":[{"type":"text","content":"Answer briefly."}]},'
                '{"role":"user","parts":[{"type":"text","content":"Weather in Bonn?"}]}]'
            ),
            "gen_ai.tool.definitions": (
                '[{"type":"function","name":"weather","description":"Look it up",'
                '"parameters":{"type":"object"}}]'
            ),
            "gen_ai.response.id": "chatcmpl-7",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.finish_reasons": ["tool_call"],
            "openai.response.service_tier": "default",
            "openai.response.system_fingerprint": "fp_7",
            "gen_ai.usage.input_tokens": 30,
            "gen_ai.usage.output_tokens": 12,
            "gen_ai.usage.cache_read.input_tokens": 16,
            "gen_ai.usage.reasoning.output_tokens": 4,
            "gen_ai.output.messages": (
                '[{"role":"assistant","parts":[{"type":"text","content":"Let me look."},'
                '{"type":"tool_call","id":"call_1","name":"weather","arguments":{"city":"Bonn"}}]}]'
            ),
        },
    }


def pop_times(span: dict[str, Any], *, stream: bool) -> dict[str, float]:
    """Take the times, which differ from run to run, off a span, after a check of their order."""
    names = [semconv.RESPONSE_TIME_TO_FIRST_BYTE]
    if stream:
        names += [semconv.RESPONSE_TIME_TO_FIRST_CHUNK, semconv.RESPONSE_TIME_TO_LAST_TOKEN]
    times = {name: span["attributes"].pop(name) for name in names}
    assert 0 < times[names[0]] <= times[names[-1]] < 5
    assert list(times.values()) == sorted(times.values())
    return times
