"""Exchanges of formats that no recording has, written after their providers' references."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .aws_frames import frame

_CONTENT_TYPES = {
    "sse": "text/event-stream",
    "texts": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "aws": "application/vnd.amazon.eventstream",
}


@dataclass(frozen=True)
class Sample:
    """One exchange and what its span has to hold; `answer` is a list of events for a stream.

    parts: the answer's parts as (type, content or name). usage: by the last words of the attribute.
    inner: the calls inside it as (kind, model, usage).
    """

    name: str
    path: str
    sent: Any
    answer: Any
    operation: str
    provider: str
    reasons: list[str] | None
    usage: Mapping[str, float]
    parts: list[tuple[str, Any]]
    model: str | None = "m"
    more: dict[str, Any] = field(default_factory=dict)
    method: str = "POST"
    framing: str = "sse"
    inner: list[tuple[str, str | None, dict[str, int]]] = field(default_factory=list)

    def body(self) -> bytes:
        """The answer as the wire has it."""
        if not isinstance(self.answer, list) or self.framing == "json":
            return json.dumps(self.answer).encode()
        if self.framing == "aws":
            return b"".join(frame(name, payload) for event in self.answer for name, payload in event.items())
        if self.framing == "texts":  # Replicate's: an event's name and a text
            return b"".join(
                f"event: {event['event']}\nid: 1:0\ndata: {event['data']}\n\n".encode()
                for event in self.answer
            )
        lines = [json.dumps(event).encode() for event in self.answer]
        if self.framing == "ndjson":
            return b"\n".join(lines) + b"\n"
        return b"".join(b"data: " + line + b"\n\n" for line in lines)

    @property
    def content_type(self) -> str:
        """Of the answer."""
        if isinstance(self.answer, list) and self.framing != "json":
            return _CONTENT_TYPES[self.framing]
        return "application/json"


def estimated(**tokens: int) -> dict[str, Any]:
    """What the SDK says of tokens that an answer did not tell."""
    counts = {f"estimated.{name}_tokens": count for name, count in tokens.items()}
    return {"estimated": "+".join(tokens), **counts}


def _without_output(usage: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in usage.items() if name != "output_tokens"}


def _anthropic(*events: Any) -> list[Any]:
    start: dict[str, Any] = {
        "id": "msg_1",
        "model": "claude-x",
        "role": "assistant",
        "content": [],
        "type": "message",
    }
    start["usage"] = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "output_tokens": 1,
        "service_tier": "priority",
    }
    return [{"type": "message_start", "message": start}, *events]


def _delta(index: int, **delta: Any) -> Any:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _block(index: int, **block: Any) -> Any:
    return {"type": "content_block_start", "index": index, "content_block": block}


_CLAUDE = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
_CLAUDE_USAGE = {
    "input_tokens": 140,
    "output_tokens": 25,
    "cache_read.input_tokens": 100,
    "cache_write.input_tokens": 30,
    "cache_write_5m.input_tokens": 20,
    "cache_write_1h.input_tokens": 10,
}
_GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
_GEMINI_CHUNKS = [
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Let me ", "thought": True}]}}]},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "think", "thought": True}]}}]},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}}], "modelVersion": "g-1"},
    {
        "candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "MAX_TOKENS"}],
        "responseId": "r1",
        "usageMetadata": {
            "promptTokenCount": 7,
            "toolUsePromptTokenCount": 3,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 6,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 3},
                {"modality": "IMAGE", "tokenCount": 4},
            ],
        },
    },
]
_GEMINI_USAGE = {
    "input_tokens": 10,
    "output_tokens": 11,
    "cache_read.input_tokens": 4,
    "reasoning.output_tokens": 6,
    "text.input_tokens": 3,
    "image.input_tokens": 4,
}
_CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
_PROMPT = {"prompt": "hi", "temperature": 0.5}

SAMPLES: list[Sample] = [
    Sample(
        "anthropic stream with thinking, a tool and a server's search",
        "/v1/messages",
        {
            **_CLAUDE,
            "stream": True,
            "top_k": 5,
            "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
            "metadata": {"user_id": "u1"},
            "tools": [
                {"name": "f", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
        },
        _anthropic(
            _block(0, type="thinking", thinking=""),
            _delta(0, type="thinking_delta", thinking="Hm"),
            _delta(0, type="signature_delta", signature="c2ln"),
            _block(1, type="server_tool_use", id="s1", name="web_search", input={}),
            _delta(1, type="input_json_delta", partial_json='{"query": "x"}'),
            _block(2, type="web_search_tool_result", tool_use_id="s1", content=[{"url": "https://x"}]),
            _block(3, type="text", text=""),
            _delta(3, type="text_delta", text="So"),
            _block(4, type="tool_use", id="t1", name="f", input={}),
            _delta(4, type="input_json_delta", partial_json='{"a":'),
            _delta(4, type="input_json_delta", partial_json=" 1}"),
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use"},
                "usage": {"output_tokens": 25, "cache_read_input_tokens": 100, "input_tokens": 10},
            },
            {"type": "message_stop"},
        ),
        "chat",
        "anthropic",
        ["tool_call"],
        _CLAUDE_USAGE,
        [
            ("reasoning", "Hm"),
            ("server_tool_call", "web_search"),
            ("server_tool_call_response", None),
            ("text", "So"),
            ("tool_call", {"a": 1}),
        ],
        more={
            "gen_ai.request.top_k": 5,
            "user.id": "u1",
            "gen_ai.system_instructions": '[{"type":"text","content":"be kind"}]',
            "anthropic.response.service_tier": "priority",
            "gen_ai.tool.definitions": (
                '[{"type":"function","name":"f","description":null,"parameters":{"type":"object"}},'
                '{"type":"web_search_20250305","name":"web_search"}]'
            ),
        },
    ),
    Sample(
        "anthropic stream that breaks",
        "/v1/messages",
        {**_CLAUDE, "stream": True},
        _anthropic(
            _block(0, type="text", text=""),
            _delta(0, type="text_delta", text="So"),
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        ),
        "chat",
        "anthropic",
        ["error"],
        {**_without_output(_CLAUDE_USAGE), **estimated(output=1)},
        [("text", "So")],
        more={"error.type": "overloaded_error"},
    ),
    Sample(
        "anthropic on vertex",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
        {**_CLAUDE, "model": None, "anthropic_version": "vertex-2023-10-16"},
        {
            "id": "msg_1",
            "type": "message",
            "model": "claude-x",
            "content": [{"type": "text", "text": "yo"}],
            "stop_reason": "max_tokens",
            "usage": {"input_tokens": 4, "output_tokens": 2},
        },
        "chat",
        "gcp.vertex_ai",
        ["length"],
        {"input_tokens": 4, "output_tokens": 2},
        [("text", "yo")],
    ),
    Sample(
        "gemini stream",
        "/v1beta/models/m:streamGenerateContent",
        {
            **_GEMINI,
            "generationConfig": {"topP": 0.5, "topK": 4, "maxOutputTokens": 5, "stopSequences": ["E"]},
        },
        _GEMINI_CHUNKS,
        "generate_content",
        "gcp.gemini",
        ["length"],
        _GEMINI_USAGE,
        [("reasoning", "Let me think"), ("text", "Hello")],
        more={
            "gen_ai.request.top_p": 0.5,
            "gen_ai.request.top_k": 4,
            "gen_ai.request.max_tokens": 5,
            "gen_ai.request.stop_sequences": ["E"],
            "gen_ai.response.id": "r1",
            "gen_ai.response.model": "g-1",
        },
    ),
    Sample(
        "gemini stream as one array, on vertex",
        "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
        _GEMINI,
        _GEMINI_CHUNKS,
        "generate_content",
        "gcp.vertex_ai",
        ["length"],
        _GEMINI_USAGE,
        [("reasoning", "Let me think"), ("text", "Hello")],
        framing="json",
    ),
    Sample(
        "gemini refuses a prompt",
        "/v1beta/models/m:generateContent",
        _GEMINI,
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}},
        "generate_content",
        "gcp.gemini",
        ["content_filter"],
        {"input_tokens": 7},
        [],
    ),
    Sample(
        "vertex text embeddings",
        "/v1/projects/p/locations/l/publishers/google/models/text-embedding-005:predict",
        {"instances": [{"content": "a"}, {"content": "b"}]},
        {
            "predictions": [
                {"embeddings": {"values": [0.1, 0.2, 0.3], "statistics": {"token_count": 2}}},
                {"embeddings": {"values": [0.1, 0.2, 0.3], "statistics": {"token_count": 3}}},
            ]
        },
        "embeddings",
        "gcp.vertex_ai",
        None,
        {"input_tokens": 5},
        [],
        model="text-embedding-005",
        more={"gen_ai.embeddings.dimension.count": 3},
    ),
    Sample(
        "bedrock converse with cache, thoughts and a tool",
        "/model/m/converse",
        {**_CONVERSE, "guardrailConfig": {"guardrailIdentifier": "gr-1"}},
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
                        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
                    ],
                }
            },
            "stopReason": "tool_use",
            "usage": {
                "inputTokens": 4,
                "outputTokens": 9,
                "cacheReadInputTokens": 5,
                "cacheWriteInputTokens": 6,
                "cacheDetails": [{"ttl": "5m", "inputTokens": 6}],
            },
        },
        "chat",
        "aws.bedrock",
        ["tool_call"],
        {
            "input_tokens": 15,
            "output_tokens": 9,
            "cache_read.input_tokens": 5,
            "cache_write.input_tokens": 6,
            "cache_write_5m.input_tokens": 6,
        },
        [("reasoning", "Hm"), ("tool_call", {"a": 1})],
        more={"aws.bedrock.guardrail.id": "gr-1"},
    ),
    Sample(
        "bedrock invoke of claude",
        "/model/m/invoke",
        {**_CLAUDE, "model": None, "anthropic_version": "bedrock-2023-05-31"},
        {
            "id": "msg_1",
            "type": "message",
            "model": "claude-x",
            "content": [{"type": "text", "text": "yo"}],
            "stop_reason": "refusal",
            "usage": {"input_tokens": 4, "output_tokens": 2},
        },
        "chat",
        "aws.bedrock",
        ["content_filter"],
        {"input_tokens": 4, "output_tokens": 2},
        [("text", "yo")],
    ),
    Sample(
        "bedrock invoke of llama",
        "/model/m/invoke",
        {**_PROMPT, "max_gen_len": 7},
        {"generation": "yo", "prompt_token_count": 3, "generation_token_count": 2, "stop_reason": "length"},
        "text_completion",
        "aws.bedrock",
        ["length"],
        {"input_tokens": 3, "output_tokens": 2},
        [("text", "yo")],
        more={"gen_ai.request.max_tokens": 7, "gen_ai.request.temperature": 0.5},
    ),
    Sample(
        "bedrock invoke of titan",
        "/model/m/invoke",
        {"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 7, "topP": 0.5}},
        {
            "inputTextTokenCount": 3,
            "results": [{"tokenCount": 2, "outputText": "yo", "completionReason": "FINISH"}],
        },
        "text_completion",
        "aws.bedrock",
        ["stop"],
        {"input_tokens": 3, "output_tokens": 2},
        [("text", "yo")],
    ),
    Sample(
        "bedrock invoke of titan embeddings",
        "/model/m/invoke",
        {"inputText": "hi", "dimensions": 4},
        {"embedding": [0.1, 0.2, 0.3, 0.4], "inputTextTokenCount": 3},
        "embeddings",
        "aws.bedrock",
        None,
        {"input_tokens": 3},
        [],
    ),
    Sample(
        "hugging face",
        "/models/org/m",
        {"inputs": "hi", "parameters": {"max_new_tokens": 7, "temperature": 0.5}},
        [{"generated_text": "yo", "details": {"finish_reason": "eos_token", "generated_tokens": 2}}],
        "text_completion",
        "hugging_face",
        ["stop"],
        {"output_tokens": 2, **estimated(input=8)},
        [("text", "yo")],
        model="org/m",
        framing="json",
    ),
    Sample(
        "hugging face stream",
        "/generate_stream",
        {"inputs": "hi", "parameters": {}},
        [
            {"token": {"text": "y", "special": False}, "generated_text": None, "details": None},
            {
                "token": {"text": "o", "special": False},
                "generated_text": "yo",
                "details": {"finish_reason": "length", "generated_tokens": 2, "input_length": 3},
            },
        ],
        "text_completion",
        "hugging_face",
        ["length"],
        {"input_tokens": 3, "output_tokens": 2},
        [("text", "yo")],
        model=None,
    ),
    Sample(
        "ollama embeddings",
        "/api/embed",
        {"model": "m", "input": ["a", "b"]},
        {"model": "m", "embeddings": [[0.1, 0.2]], "prompt_eval_count": 6},
        "embeddings",
        "ollama",
        None,
        {"input_tokens": 6},
        [],
    ),
    Sample(
        "ollama generate stream",
        "/api/generate",
        {"model": "m", "prompt": "hi", "system": "be kind", "options": {"num_predict": 5, "seed": 3}},
        [
            {"model": "m", "response": "y", "done": False},
            {"model": "m", "response": "o", "thinking": "hm", "done": False},
            {
                "model": "m",
                "response": "",
                "done": True,
                "done_reason": "length",
                "prompt_eval_count": 3,
                "eval_count": 2,
            },
        ],
        "text_completion",
        "ollama",
        ["length"],
        {"input_tokens": 3, "output_tokens": 2},
        [("reasoning", "hm"), ("text", "yo")],
        more={"gen_ai.request.seed": 3, "gen_ai.request.max_tokens": 5, "gen_ai.request.stream": True},
        framing="ndjson",
    ),
    Sample(
        "fill in the middle",
        "/v1/fim/completions",
        {"model": "m", "prompt": "def f(", "suffix": "return 1", "random_seed": 4},
        {
            "id": "c1",
            "model": "codestral",
            "choices": [{"index": 0, "message": {"content": "):"}, "finish_reason": "model_length"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        },
        "chat",
        "openai",
        ["length"],
        {"input_tokens": 5, "output_tokens": 2},
        [("text", "):")],
        more={"gen_ai.request.seed": 4},
    ),
    Sample(
        "a run that needs the application's tool",
        "/v1/threads/thread_1/runs",
        {"assistant_id": "asst_1"},
        {
            "id": "run_1",
            "object": "thread.run",
            "assistant_id": "asst_1",
            "thread_id": "thread_1",
            "status": "requires_action",
            "model": "m",
            "required_action": {
                "type": "submit_tool_outputs",
                "submit_tool_outputs": {
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ]
                },
            },
            "usage": None,
        },
        "invoke_agent",
        "openai",
        ["tool_call"],
        {},
        [("tool_call", {})],
        more={"gen_ai.agent.id": "asst_1", "gen_ai.conversation.id": "thread_1"},
    ),
    Sample(
        "a run that failed",
        "/v1/threads/thread_1/runs/run_2",
        None,
        {
            "id": "run_2",
            "object": "thread.run",
            "status": "failed",
            "model": "m",
            "last_error": {"code": "rate_limit_exceeded", "message": "slow down"},
            "usage": {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5},
        },
        "chat",
        "openai",
        ["error"],
        {"input_tokens": 5, "output_tokens": 0},
        [],
        more={"error.type": "rate_limit_exceeded"},
        method="GET",
    ),
    Sample(
        "an image stream",
        "/v1/images/generations",
        {"model": "m", "prompt": "a cat", "stream": True},
        [
            {"type": "image_generation.partial_image", "b64_json": "QUJD", "partial_image_index": 0},
            {
                "type": "image_generation.completed",
                "b64_json": "QUJDREVG",
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 200,
                    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
                },
            },
        ],
        "generate_content",
        "openai",
        ["stop"],
        {
            "input_tokens": 10,
            "output_tokens": 200,
            "text.input_tokens": 10,
            "image.input_tokens": 0,
        },
        [("blob", 6)],
        more={"gen_ai.output.type": "image"},
    ),
    Sample(
        "a Responses stream that was left",
        "/v1/responses",
        {"model": "m", "input": "hi", "stream": True},
        [
            {
                "type": "response.created",
                "response": {"id": "resp_1", "status": "in_progress", "model": "m-1"},
            },
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "reasoning", "id": "rs", "summary": []},
            },
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": 0,
                "delta": "H",
            },
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": 0,
                "delta": "m",
            },
            {
                "type": "response.output_item.added",
                "output_index": 1,
                "item": {"type": "message", "role": "assistant", "content": []},
            },
            {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Hel"},
            {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "lo"},
            {
                "type": "response.output_item.added",
                "output_index": 2,
                "item": {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""},
            },
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a":'},
            {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": '{"a": 1}'},
            {"type": "error", "code": "server_error", "message": "broken"},
        ],
        "chat",
        "openai",
        ["error"],
        estimated(input=8, output=15),
        [("reasoning", "Hm"), ("text", "Hello"), ("tool_call", {"a": 1})],
        more={"error.type": "server_error", "gen_ai.response.id": "resp_1"},
    ),
    Sample(
        "a Responses call with tools of the provider",
        "/v1/responses",
        {"model": "m", "input": "hi"},
        {
            "id": "resp_4",
            "status": "completed",
            "model": "m-1",
            "output": [
                {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1"},
                {"type": "code_interpreter_call", "id": "ci_2", "status": "completed", "code": "2"},
                {"type": "mcp_call", "id": "mcp_1", "name": "f", "server_label": "s"},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            ],
            "usage": {"input_tokens": 5, "output_tokens": 3},
        },
        "chat",
        "openai",
        ["tool_call"],
        {
            "input_tokens": 5,
            "output_tokens": 3,
            "code_containers": 1,
            "code_interpreter_calls": 2,
            "mcp_calls": 1,
        },
        [
            ("server_tool_call", "code_interpreter"),
            ("server_tool_call", "code_interpreter"),
            ("server_tool_call", "mcp"),
            ("tool_call", {}),
        ],
    ),
    Sample(
        "a Responses call in the background",
        "/v1/responses",
        {"model": "m", "input": "hi", "background": True},
        {"id": "resp_2", "status": "queued", "model": "m-1", "background": True, "usage": None, "output": []},
        "create_response",
        "openai",
        None,
        {},
        [],
        more={"gen_ai.response.status": "queued"},
    ),
    Sample(
        "a Responses call that was cut short",
        "/openai/v1/responses",
        {
            "model": "m",
            "input": [{"role": "user", "content": "hi"}],
            "text": {"format": {"type": "json_schema"}},
        },
        {
            "id": "resp_3",
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "model": "m-1",
            "output": [
                {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]},
            ],
            "usage": {
                "input_tokens": 5,
                "output_tokens": 3,
                "input_tokens_details": {"image_tokens": 2, "audio_tokens": 1},
                "output_tokens_details": {"image_tokens": 1, "audio_tokens": 2},
            },
        },
        "chat",
        "openai",
        ["length"],
        {
            "input_tokens": 5,
            "output_tokens": 3,
            "image.input_tokens": 2,
            "audio.input_tokens": 1,
            "image.output_tokens": 1,
            "audio.output_tokens": 2,
            "web_searches": 1,
        },
        [("server_tool_call", "web_search"), ("refusal", "no")],
        more={"gen_ai.output.type": "json"},
    ),
    Sample(
        "cohere chat stream",
        "/v2/chat",
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True},
        [
            {"id": "c1", "type": "message-start", "delta": {"message": {"role": "assistant"}}},
            {
                "type": "content-start",
                "index": 0,
                "delta": {"message": {"content": {"type": "thinking", "thinking": "H"}}},
            },
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": "m"}}}},
            {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "yo"}}}},
            {
                "type": "tool-call-start",
                "index": 0,
                "delta": {
                    "message": {"tool_calls": {"id": "t", "function": {"name": "f", "arguments": "{}"}}}
                },
            },
            {
                "type": "message-end",
                "delta": {"finish_reason": "MAX_TOKENS", "usage": {"tokens": {"input_tokens": 3}}},
            },
        ],
        "chat",
        "cohere",
        ["length"],
        {"input_tokens": 3, **estimated(output=12)},
        [("reasoning", "Hm"), ("text", "yo"), ("tool_call", {})],
    ),
    Sample(
        "ollama chat",
        "/api/chat",
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False, "format": "json"},
        {
            "model": "m",
            "message": {"role": "assistant", "content": "yo"},
            "done": True,
            "done_reason": "length",
            "prompt_eval_count": 3,
        },
        "chat",
        "ollama",
        ["length"],
        {"input_tokens": 3, **estimated(output=1)},
        [("text", "yo")],
        more={"gen_ai.output.type": "json"},
    ),
    Sample(
        "cohere embeddings",
        "/v2/embed",
        {
            "model": "m",
            "images": ["data:image/png;base64,QUJD"],
            "inputs": [{"content": [{"type": "text", "text": "a"}]}],
        },
        {"id": "e1", "embeddings": {"float": [[1, 2]]}, "meta": {"billed_units": {"image_tokens": 9}}},
        "embeddings",
        "cohere",
        None,
        {"input_tokens": 9, "image.input_tokens": 9},
        [],
        more={"gen_ai.embeddings.dimension.count": 2},
    ),
    Sample(
        "a rerank of those who speak cohere's",
        "/v1/rerank",
        {"model": "m", "query": "which?", "documents": ["a", "b"], "top_n": 1},
        {
            "model": "m",
            "results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}],
            "usage": {"total_tokens": 12},
        },
        "rerank",
        "cohere",
        None,
        {"input_tokens": 12},
        [],
        more={"gen_ai.retrieval.documents": '[{"id":"1","score":0.5,"content":"b"}]'},
    ),
    Sample(
        "anthropic compacts the conversation",
        "/v1/messages",
        _CLAUDE,
        {
            "id": "msg_2",
            "type": "message",
            "model": "claude-x",
            "content": [{"type": "compaction", "content": "before"}, {"type": "text", "text": "yo"}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 10,
                "output_tokens": 2,
                "iterations": [
                    {"type": "compaction", "input_tokens": 1000, "output_tokens": 50},
                    {"type": "message", "input_tokens": 10, "output_tokens": 2},
                ],
            },
        },
        "chat",
        "anthropic",
        ["stop"],
        {"input_tokens": 1010, "output_tokens": 52},
        [("compaction", "before"), ("text", "yo")],
        more={"gen_ai.conversation.compacted": True},
    ),
]
