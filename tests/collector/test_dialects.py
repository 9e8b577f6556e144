"""Every dialect of LLM telemetry gives the same canonical record."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.store import Store, open_store

from .otlp import CLIENT, SECOND, attributes, span, traces
from .prefilled import prefill

_READ = """SELECT SpanName, Operation, Provider, RequestModel, ResponseModel, Model, ResponseId,
    FinishReasons, ErrorType, UserId, SessionId, Tags, PromptName, PromptVersion, InputTokens, OutputTokens,
    CacheReadTokens, CacheWriteTokens, ReasoningTokens, TimeToFirstToken, InputMessages, OutputMessages,
    SystemInstructions, ToolDefinitions, IsLlm, Counted, UsageFault, SpanAttributes
    FROM otel_traces WHERE TraceId = {trace:String} ORDER BY Timestamp"""


class Reader:
    """Stores spans and reads them back."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder

    def rows(self, request: ExportTraceServiceRequest) -> list[dict[str, Any]]:
        """The canonical records of a request of one trace."""
        path = self.folder / f"{uuid.uuid4().hex}.seg"
        path.write_bytes(b"".join(encode(Frame("", time.time_ns(), request.SerializeToString()))))
        self.store.insert_segment("traces", path, path.stem)
        trace = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
        rows = self.store.rows(_READ, {"trace": trace})
        for row in rows:
            for column in ("InputMessages", "OutputMessages", "SystemInstructions", "ToolDefinitions"):
                row[column] = json.loads(row[column]) if row[column] else None
        return rows

    def record(self, values: Mapping[str, object], scope: str = "tests", **fields: Any) -> dict[str, Any]:
        """The canonical record of one span."""
        request = traces([span(values, **{"kind": CLIENT, **fields})])
        request.resource_spans[0].scope_spans[0].scope.name = scope
        (row,) = self.rows(request)
        return row


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    directory = tmp_path_factory.mktemp("dialects")
    store = open_store(f"chdb://{prefill(directory / 'store')}")
    yield Reader(store, directory)
    store.close()


def text(role: str, content: str, **more: object) -> dict[str, object]:
    """A message of one text part."""
    return {"role": role, "parts": [{"type": "text", "content": content}], **more}


#: What every dialect below says about the same call.
CALL: dict[str, object] = {
    "Operation": "chat",
    "Provider": "openai",
    "RequestModel": "gpt-4o",
    "ResponseModel": "gpt-4o-2024-08-06",
    "FinishReasons": ["stop"],
    "InputTokens": 100,
    "OutputTokens": 20,
    "CacheReadTokens": 30,
    "IsLlm": True,
    "Counted": True,
    "UsageFault": "",
    "InputMessages": [text("user", "Why?")],
    "OutputMessages": [text("assistant", "Because.")],
}

ASKED = json.dumps([{"role": "user", "content": "Why?"}])
ANSWERED = {"role": "assistant", "content": "Because."}
PARTS = json.dumps([text("user", "Why?")]), json.dumps([text("assistant", "Because.")])
OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
MODELS = {"gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06"}

#: name → (scope, attributes, what differs from CALL).
DIALECTS: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "OTel, current": (
        "opentelemetry.instrumentation.genai.openai",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            **MODELS,
            "gen_ai.response.id": "resp-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 30,
            "gen_ai.usage.cache_write.input_tokens": 10,
            "gen_ai.usage.reasoning.output_tokens": 5,
            "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
            "user.id": "u",
            "session.id": "s",
        },
        {
            "ResponseId": "resp-1",
            "CacheWriteTokens": 10,
            "ReasoningTokens": 5,
            "TimeToFirstToken": 0.25,
            "UserId": "u",
            "SessionId": "s",
        },
    ),
    "OTel 1.36 to 1.41": (
        "opentelemetry.instrumentation.openai_v2",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            **MODELS,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 30,
            "gen_ai.usage.cache_creation.input_tokens": 10,
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
            "gen_ai.conversation.id": "c",
        },
        {"CacheWriteTokens": 10, "SessionId": "c"},
    ),
    "OTel before 1.28": (
        "opentelemetry.instrumentation.openai",
        {
            "gen_ai.system": "openai",
            **MODELS,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.usage.cache_read_input_tokens": 30,
            "gen_ai.prompt": ASKED,
            "gen_ai.completion": json.dumps([ANSWERED]),
        },
        {},
    ),
    "OpenLLMetry, new": (
        "opentelemetry.instrumentation.openai.v1",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            **MODELS,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.total_tokens": 120,
            "gen_ai.usage.cache_read_input_tokens": 30,
            "gen_ai.usage.reasoning_tokens": 5,
            "gen_ai.is_streaming": False,
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
            "traceloop.association.properties.user_id": "u",
            "traceloop.association.properties.session_id": "s",
            "traceloop.prompt.key": "greeting",
            "traceloop.prompt.version": 3,
        },
        {
            "ReasoningTokens": 5,
            "UserId": "u",
            "SessionId": "s",
            "PromptName": "greeting",
            "PromptVersion": "3",
        },
    ),
    "OpenLLMetry, old": (
        "opentelemetry.instrumentation.openai.v1",
        {
            "llm.request.type": "chat",
            "gen_ai.system": "OpenAI",
            **MODELS,
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.usage.cache_read_input_tokens": 30,
            "llm.usage.total_tokens": 120,
            "llm.usage.reasoning_tokens": 5,
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Why?",
            "gen_ai.prompt.0.user": "u",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Because.",
            "gen_ai.completion.0.finish_reason": "stop",
        },
        {
            "ReasoningTokens": 5,
            "UserId": "u",
            "OutputMessages": [text("assistant", "Because.", finish_reason="stop")],
        },
    ),
    "OpenInference": (
        "openinference.instrumentation.openai",
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "llm.system": "openai",
            "llm.model_name": "gpt-4o-2024-08-06",
            "llm.invocation_parameters": json.dumps({"model": "gpt-4o", "temperature": 0}),
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 20,
            "llm.token_count.total": 120,
            "llm.token_count.prompt_details.cache_read": 30,
            "llm.token_count.completion_details.reasoning": 5,
            "llm.finish_reason": "stop",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "Why?",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "Because.",
            "input.value": '{"messages": []}',
            "input.mime_type": "application/json",
            "output.value": json.dumps({"id": "resp-2", "model": "gpt-4o-2024-08-06"}),
            "user.id": "u",
            "session.id": "s",
            "tag.tags": ["a", "b"],
        },
        {
            "ResponseId": "resp-2",
            "ReasoningTokens": 5,
            "UserId": "u",
            "SessionId": "s",
            "Tags": ["a", "b"],
        },
    ),
    "Vercel AI SDK, legacy": (
        "ai",
        {
            "ai.operationId": "ai.streamText.doStream",
            "operation.name": "ai.streamText.doStream greet",
            "gen_ai.system": "openai.chat",
            "ai.model.provider": "openai.chat",
            "ai.model.id": "gpt-4o",
            **MODELS,
            "ai.response.model": "gpt-4o-2024-08-06",
            "ai.response.id": "resp-3",
            "ai.response.finishReason": "stop",
            "ai.usage.promptTokens": 100,
            "ai.usage.completionTokens": 20,
            "ai.usage.cachedInputTokens": "30",
            "ai.response.msToFirstChunk": 250.5,
            "ai.prompt.messages": json.dumps(
                [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
            ),
            "ai.response.text": "Because.",
            "ai.telemetry.metadata.userId": "u",
            "ai.telemetry.metadata.sessionId": "s",
        },
        {"ResponseId": "resp-3", "TimeToFirstToken": 0.2505, "UserId": "u", "SessionId": "s"},
    ),
    "Vercel AI SDK 7": (
        "gen_ai",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            **MODELS,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 30,
            "gen_ai.usage.cache_creation.input_tokens": 7,
            "gen_ai.client.operation.time_to_first_chunk": 0.5,
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
        },
        {"CacheWriteTokens": 7, "TimeToFirstToken": 0.5},
    ),
    "Logfire": (
        "logfire.openai",
        {
            "logfire.span_type": "span",
            "logfire.msg": "Chat Completion with 'gpt-4o'",
            "gen_ai.system": "openai",
            "gen_ai.provider.name": "openai",
            "gen_ai.operation.name": "chat",
            **MODELS,
            "gen_ai.response.finish_reasons": ["stop"],
            "request_data": json.dumps(
                {"model": "gpt-4o", "messages": [{"role": "user", "content": "Why?"}]}
            ),
            "response_data": json.dumps({"message": ANSWERED, "usage": OPENAI_USAGE}),
            "logfire.tags": ["LLM"],
        },
        {"ReasoningTokens": 5, "Tags": ["LLM"]},
    ),
    "pydantic-ai": (
        "pydantic-ai",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.provider.name": "openai",
            **MODELS,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.details.cache_read_tokens": 30,
            "gen_ai.usage.details.reasoning_tokens": 5,
            "gen_ai.client.operation.time_to_first_chunk": 0.125,
            "model_request_parameters": "{}",
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
        },
        {"ReasoningTokens": 5, "TimeToFirstToken": 0.125},
    ),
    "MLflow": (
        "mlflow.tracing",
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.provider": '"openai"',
            "mlflow.llm.model": '"gpt-4o"',
            "mlflow.chat.tokenUsage": json.dumps(
                {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "cache_read_input_tokens": 30}
            ),
            "mlflow.spanInputs": json.dumps({"messages": [{"role": "user", "content": "Why?"}]}),
            "mlflow.spanOutputs": json.dumps(
                {
                    "id": "resp-4",
                    "model": "gpt-4o-2024-08-06",
                    "choices": [{"message": ANSWERED, "finish_reason": "stop"}],
                }
            ),
        },
        {
            "ResponseId": "resp-4",
            "OutputMessages": [text("assistant", "Because.", finish_reason="stop")],
        },
    ),
    "Langfuse, exclusive of the cache": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": json.dumps(
                {
                    "input": 60,
                    "output": 20,
                    "input_cached_tokens": 30,
                    "input_cache_creation": 10,
                    "total": 120,
                }
            ),
            "langfuse.observation.input": ASKED,
            "langfuse.observation.output": json.dumps(ANSWERED),
            "langfuse.trace.tags": ["a"],
            "user.id": "u",
        },
        {
            "ResponseModel": "gpt-4o",
            "FinishReasons": [],
            "CacheWriteTokens": 10,
            "Tags": ["a"],
            "UserId": "u",
        },
    ),
    "Langfuse, inclusive of the cache": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": json.dumps(
                {"input": 100, "output": 20, "input_cached_tokens": 30, "total": 120}
            ),
            "langfuse.observation.input": json.dumps({"messages": json.loads(ASKED)}),
            "langfuse.observation.output": "Because.",
            "langfuse.tags": "a,b",
        },
        {"ResponseModel": "gpt-4o", "FinishReasons": [], "Tags": ["a", "b"]},
    ),
    "Langfuse, OpenAI's usage as it came": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": json.dumps(OPENAI_USAGE),
            "langfuse.observation.input": ASKED,
            "langfuse.observation.output": json.dumps(ANSWERED),
            "langfuse.observation.metadata.finish_reason": '"stop"',
        },
        {"ResponseModel": "gpt-4o", "ReasoningTokens": 5},
    ),
    "Langfuse, usage of the Responses API as it came": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": json.dumps(
                {
                    "input_tokens": 100,
                    "input_tokens_details": {"cached_tokens": 30},
                    "output_tokens": 20,
                    "output_tokens_details": {"reasoning_tokens": 5},
                    "total_tokens": 120,
                }
            ),
            "langfuse.observation.input": ASKED,
            "langfuse.observation.output": json.dumps(ANSWERED),
        },
        {"ResponseModel": "gpt-4o", "FinishReasons": [], "ReasoningTokens": 5},
    ),
    "Langfuse, LangChain's usage without its parts": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": json.dumps(
                {
                    "input": 70,
                    "input_cache_read": 30,
                    "output": 15,
                    "output_reasoning": 5,
                    "total": 120,
                }
            ),
            "langfuse.observation.input": ASKED,
            "langfuse.observation.output": json.dumps(ANSWERED),
        },
        {"ResponseModel": "gpt-4o", "FinishReasons": [], "ReasoningTokens": 5},
    ),
    "vLLM": (
        "vllm.llm_engine",
        {
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.request.id": "r",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.usage.cached_tokens": 30,
            "gen_ai.latency.time_in_queue": 0.01,
            "gen_ai.latency.time_to_first_token": 0.2,
        },
        {
            "Operation": "text_completion",
            "Provider": "vllm",
            "RequestModel": "",
            "FinishReasons": [],
            "TimeToFirstToken": 0.2,
            "InputMessages": None,
            "OutputMessages": None,
        },
    ),
    "LiteLLM v1": (
        "litellm",
        {
            "llm.request.type": "completion",
            "gen_ai.system": "openai",
            "llm.is_streaming": "True",
            **MODELS,
            "gen_ai.response.finish_reasons": '["stop"]',
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.total_tokens": 120,
            "gen_ai.usage.cache_read.input_tokens": 30,
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
            "gen_ai.system_instructions": "Be brief.",
            "metadata.user_api_key_end_user_id": "u",
        },
        {"UserId": "u", "SystemInstructions": [{"type": "text", "content": "Be brief."}]},
    ),
    "LiteLLM v2": (
        "litellm",
        {
            "gen_ai.operation.name": "acompletion",
            "gen_ai.provider.name": "openai",
            "gen_ai.system": "openai",
            **MODELS,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 30,
            "gen_ai.response.time_to_first_chunk": 0.3,
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
            "litellm.end_user.id": "u",
        },
        {"UserId": "u", "TimeToFirstToken": 0.3},
    ),
    "Prompt flow": (
        "promptflow",
        {
            "span_type": "LLM",
            "framework": "promptflow",
            "gen_ai.system": "openai",
            "llm.request.model": "gpt-4o",
            "llm.response.model": "gpt-4o-2024-08-06",
            "llm.usage.prompt_tokens": 100,
            "llm.usage.completion_tokens": 20,
            "inputs": json.dumps({"messages": json.loads(ASKED)}),
            "output": json.dumps(
                {"id": "resp-5", "choices": [{"message": ANSWERED, "finish_reason": "stop"}]}
            ),
            "session_id": "s",
        },
        {
            "ResponseId": "resp-5",
            "CacheReadTokens": 0,
            "SessionId": "s",
            "OutputMessages": [text("assistant", "Because.", finish_reason="stop")],
        },
    ),
    "Prompt flow, streamed": (
        "promptflow",
        {
            "span_type": "LLM",
            "framework": "promptflow",
            "inputs": json.dumps({"model": "gpt-4o", "messages": json.loads(ASKED), "stream": True}),
            "llm.response.model": "gpt-4o-2024-08-06",
            "llm.generated_message": json.dumps(ANSWERED),
            "output_type": "iterated",
            "output": json.dumps(
                [
                    {"id": "resp-6", "choices": [{"delta": {"content": "Because."}}], "usage": None},
                    {"id": "resp-6", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": None},
                    {"id": "resp-6", "choices": [], "usage": OPENAI_USAGE},
                ]
            ),
        },
        {"ResponseId": "resp-6", "ReasoningTokens": 5, "Provider": "openai"},
    ),
    "MLflow's autologging of OpenAI": (
        "mlflow.tracing.provider",
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": json.dumps({"model": "gpt-4o", "messages": json.loads(ASKED)}),
            "mlflow.llm.model": '"gpt-4o-2024-08-06"',
            "mlflow.chat.tokenUsage": json.dumps(
                {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 30}
            ),
            "mlflow.spanOutputs": json.dumps(
                {
                    "id": "resp-7",
                    "model": "gpt-4o-2024-08-06",
                    "choices": [{"message": ANSWERED, "finish_reason": "stop"}],
                    "usage": OPENAI_USAGE,
                }
            ),
        },
        {
            "ResponseId": "resp-7",
            "ReasoningTokens": 5,
            "OutputMessages": [text("assistant", "Because.", finish_reason="stop")],
        },
    ),
    "LiteLLM v1, parts of its usage as Python prints them": (
        "litellm",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "llm.request.type": "completion",
            **MODELS,
            "gen_ai.response.id": "resp-8",
            "gen_ai.response.finish_reasons": '["stop"]',
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "metadata.usage_object": "{'prompt_tokens': 100, 'completion_tokens': 20, 'total_tokens': None, "
            "'completion_tokens_details': {'reasoning_tokens': 5, 'audio_tokens': None}, "
            "'prompt_tokens_details': {'cached_tokens': 30}}",
            "gen_ai.input.messages": PARTS[0],
            "gen_ai.output.messages": PARTS[1],
        },
        {"ResponseId": "resp-8", "ReasoningTokens": 5},
    ),
    "Google ADK before 2": (
        "gcp.vertex.agent",
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gcp.vertex.agent.llm_request": json.dumps(
                {
                    "model": "gemini-2.5-flash",
                    "config": {"system_instruction": "Be brief."},
                    "contents": [{"role": "user", "parts": [{"text": "Why?"}]}],
                }
            ),
            "gcp.vertex.agent.llm_response": json.dumps(
                {
                    "content": {"role": "model", "parts": [{"text": "Because."}]},
                    "usage_metadata": {
                        "prompt_token_count": 100,
                        "candidates_token_count": 15,
                        "thoughts_token_count": 5,
                        "cached_content_token_count": 30,
                        "total_token_count": 120,
                    },
                }
            ),
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 15,
            "gen_ai.response.finish_reasons": ["stop"],
        },
        {
            "Operation": "generate_content",
            "Provider": "gcp.gemini",
            "RequestModel": "gemini-2.5-flash",
            "ResponseModel": "",
            "ReasoningTokens": 5,
            "SystemInstructions": [{"type": "text", "content": "Be brief."}],
        },
    ),
    "Anthropic, native": (
        "com.anthropic.sdk.python",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            **MODELS,
            "gen_ai.response.id": "msg-1",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 30,
            "gen_ai.usage.cache_write.input_tokens": 10,
            "anthropic.message.stop_reason": "end_turn",
            "anthropic.session.id": "s",
        },
        {
            "Provider": "anthropic",
            "ResponseId": "msg-1",
            "CacheWriteTokens": 10,
            "SessionId": "s",
            "InputMessages": None,
            "OutputMessages": None,
        },
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_record(read: Reader, name: str) -> None:
    scope, values, differing = DIALECTS[name]
    row = read.record(values, scope)
    expected = {**CALL, **differing}
    assert {column: row[column] for column in expected} == expected
    left = json.dumps(row["SpanAttributes"])
    assert "Why?" not in left
    assert "Because." not in left


def test_trap_1_older_ai_sdk_leaves_the_cache_out_of_anthropic_input(read: Reader) -> None:
    values = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": "anthropic.messages",
        "ai.model.id": "claude",
        "ai.usage.promptTokens": 10,
        "ai.usage.completionTokens": 5,
        "ai.response.providerMetadata": json.dumps(
            {"anthropic": {"usage": {"cache_read_input_tokens": 70, "cache_creation_input_tokens": 20}}}
        ),
    }
    row = read.record(values, "ai")
    assert (row["InputTokens"], row["CacheReadTokens"], row["CacheWriteTokens"]) == (100, 70, 20)
    assert row["Provider"] == "anthropic"
    inclusive = read.record(
        {
            **values,
            "ai.usage.inputTokens": 100,
            "ai.usage.inputTokenDetails.cacheReadTokens": 70,
            "ai.usage.inputTokenDetails.cacheWriteTokens": 20,
        }
        | {"ai.usage.promptTokens": 100},
        "ai",
    )
    assert inclusive["InputTokens"] == 100


#: How Strands writes messages into span events → the events, by name and attributes.
EVENTS: dict[str, list[tuple[str, dict[str, object]]]] = {
    "of the conventions before 1.37": [
        ("gen_ai.system.message", {"content": '[{"text": "Be brief."}]'}),
        ("gen_ai.user.message", {"content": '[{"text": "Why?"}]'}),
        (
            "gen_ai.choice",
            {
                "finish_reason": "tool_use",
                "message": '[{"toolUse": {"toolUseId": "c1", "name": "f", "input": {"x": 1}}}]',
            },
        ),
    ],
    "of today's": [
        (
            "gen_ai.client.inference.operation.details",
            {"gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}]'},
        ),
        ("gen_ai.client.inference.operation.details", {"gen_ai.input.messages": PARTS[0]}),
        (
            "gen_ai.client.inference.operation.details",
            {
                "gen_ai.output.messages": json.dumps(
                    [
                        {
                            "role": "assistant",
                            "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}}],
                            "finish_reason": "tool_use",
                        }
                    ]
                )
            },
        ),
    ],
}


@pytest.mark.parametrize("name", EVENTS)
def test_messages_in_span_events_are_those_of_the_call(read: Reader, name: str) -> None:
    sent = span(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "strands-agents",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.server.time_to_first_token": 250,
        }
    )
    for event, values in EVENTS[name]:
        sent.events.add(name=event, time_unix_nano=sent.start_time_unix_nano, attributes=attributes(values))
    (row,) = read.rows(traces([sent]))
    system = [*(row["SystemInstructions"] or []), *row["InputMessages"]]
    assert json.dumps(system).count("Be brief.") == 1
    assert row["InputMessages"][-1] == text("user", "Why?")
    (answer,) = row["OutputMessages"]
    assert answer["parts"] == [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}}]
    assert (row["FinishReasons"], row["Provider"], row["TimeToFirstToken"]) == (["tool_call"], "openai", 0.25)


def test_what_was_embedded_is_the_question_and_vectors_are_no_answer(read: Reader) -> None:
    row = read.record(
        {
            "ai.operationId": "ai.embedMany.doEmbed",
            "ai.model.provider": "openai.embedding",
            "ai.model.id": "text-embedding-3-small",
            "ai.values": ['"Why?"', '"Why not?"'],
            "ai.embeddings": ["[0.25]", "[0.5]"],
            "ai.usage.tokens": 7,
            "output.value": '{"data": [{"embedding": [0.25]}]}',
        },
        "ai",
    )
    assert (row["Operation"], row["InputTokens"], row["OutputMessages"]) == ("embeddings", 7, None)
    assert [part["content"] for message in row["InputMessages"] for part in message["parts"]] == [
        "Why?",
        "Why not?",
    ]


#: Tracer → scope, name and attributes of its span of a query, its events, and what the span is then.
QUERIES: dict[str, tuple[str, dict[str, object], list[tuple[str, dict[str, object]]], dict[str, str]]] = {
    "OpenLLMetry Chroma": (
        "opentelemetry.instrumentation.chromadb",
        {
            "db.system": "chroma",
            "db.operation": "query",
            "db.chroma.query.embeddings_count": 1,
            "db.chroma.query.n_results": 2,
        },
        [
            ("db.query.result", {"db.query.result.id": "a", "db.query.result.distance": 0.25}),
            ("db.query.result", {"db.query.result.id": "b", "db.query.result.distance": 0.5}),
        ],
        {
            "gen_ai.retrieval.top_k": "2",
            "gen_ai.retrieval.documents": '[{"id":"a","score":0.25},{"id":"b","score":0.5}]',
        },
    ),
    "OpenLLMetry Pinecone": (
        "opentelemetry.instrumentation.pinecone",
        {"db.system": "Pinecone", "pinecone.query.top_k": 1, "pinecone.query.namespace": "n"},
        [("db.query.result", {"db.query.result.id": "a", "db.query.result.score": 0.75})],
        {"gen_ai.retrieval.top_k": "1", "gen_ai.retrieval.documents": '[{"id":"a","score":0.75}]'},
    ),
    "OpenLLMetry Qdrant": (
        "opentelemetry.instrumentation.qdrant",
        {
            "db.system": "Qdrant",
            "db.vector.query.top_k": 3,
            "qdrant.query_points.collection_name": "bridges",
        },
        [],
        {"gen_ai.data_source.id": "bridges", "gen_ai.retrieval.top_k": "3"},
    ),
    "OpenInference": (
        "openinference.instrumentation.langchain",
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "Why?",
            "retrieval.documents.0.document.id": "a",
            "retrieval.documents.0.document.score": 0.75,
            "retrieval.documents.0.document.content": "Because.",
            "retrieval.documents.1.document.content": "Why not.",
        },
        [],
        {"gen_ai.retrieval.documents": '[{"id":"a","score":0.75},{"id":null,"score":null}]'},
    ),
    "the conventions beside another tracer's": (
        "opentelemetry.instrumentation.qdrant",
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": "own",
            "gen_ai.retrieval.top_k": 5,
            "gen_ai.retrieval.documents": "[]",
            "db.vector.query.top_k": 3,
            "qdrant.query_points.collection_name": "bridges",
        },
        [("db.query.result", {"db.query.result.id": "a", "db.query.result.score": 0.75})],
        {
            "gen_ai.data_source.id": "own",
            "gen_ai.retrieval.top_k": "5",
            "gen_ai.retrieval.documents": "[]",
        },
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_of_a_vector_database_is_a_retrieval(read: Reader, name: str) -> None:
    scope, values, events, expected = QUERIES[name]
    sent = span(values, kind=CLIENT, name="query")
    for event, of_event in events:
        sent.events.add(name=event, time_unix_nano=sent.start_time_unix_nano, attributes=attributes(of_event))
    request = traces([sent])
    request.resource_spans[0].scope_spans[0].scope.name = scope
    (row,) = read.rows(request)
    assert (row["Operation"], row["IsLlm"], row["Counted"]) == ("retrieval", False, False)
    named = {key: text for key, text in row["SpanAttributes"].items() if key not in values}
    named |= {key: row["SpanAttributes"][key] for key in values if key.startswith("gen_ai.")}
    named.pop("gen_ai.operation.name", None)
    assert named == expected
    assert set(values) <= set(row["SpanAttributes"])


@pytest.mark.parametrize(
    "values",
    [
        {"db.system": "chroma", "db.operation": "add", "db.chroma.add.ids_count": 3},
        {"db.system": "Qdrant", "qdrant.upsert.collection_name": "bridges", "qdrant.upsert.points_count": 3},
        {"db.system": "postgresql", "db.operation": "SELECT", "db.collection.name": "bridges"},
    ],
)
def test_what_a_database_does_besides_is_no_retrieval(read: Reader, values: dict[str, object]) -> None:
    row = read.record(values, "opentelemetry.instrumentation.x")
    assert row["Operation"] == ""
    assert not [key for key in row["SpanAttributes"] if key.startswith("gen_ai.")]


def test_trap_2_a_dotted_zero_wins_over_the_flat_spelling(read: Reader) -> None:
    row = read.record(
        {
            **MODELS,
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "gen_ai.usage.cache_read_input_tokens": 40,
            "gen_ai.usage.cache_creation.input_tokens": 5,
            "gen_ai.usage.cache_creation_input_tokens": 5,
        }
    )
    assert (row["CacheReadTokens"], row["CacheWriteTokens"]) == (0, 5)


@pytest.mark.parametrize(
    ("scope", "values"),
    [
        ("ai", {"ai.operationId": "ai.generateText", "ai.usage.promptTokens": 9, "ai.model.id": "m"}),
        ("gen_ai", {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9}),
        ("gen_ai", {"gen_ai.operation.name": "agent_step", "gen_ai.usage.input_tokens": 9}),
        (
            "pydantic-ai",
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.aggregated_usage.input_tokens": 9},
        ),
        ("openinference.x", {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 9}),
        ("langfuse-sdk", {"langfuse.observation.type": "chain"}),
    ],
)
def test_trap_3_spans_around_the_call_are_not_counted(
    read: Reader, scope: str, values: dict[str, object]
) -> None:
    row = read.record(values, scope)
    assert (row["IsLlm"], row["Counted"]) == (False, False)


def test_trap_5_numbers_and_json_inside_text(read: Reader) -> None:
    row = read.record(
        {
            "mlflow.spanType": '"LLM"',
            "mlflow.llm.model": '"m"',
            "mlflow.chat.tokenUsage": json.dumps(json.dumps({"input_tokens": "62", "output_tokens": 4.0})),
            "gen_ai.response.finish_reasons": json.dumps(json.dumps(["tool_calls"])),
        }
    )
    assert (row["InputTokens"], row["OutputTokens"], row["RequestModel"]) == (62, 4, "m")
    assert row["FinishReasons"] == ["tool_call"]
    wrapped = read.record(
        {"openinference.span.kind": "LLM", "llm.token_count.prompt": '{"intValue":"62"}'}, "openinference"
    )
    assert wrapped["InputTokens"] == 62


def test_trap_6_parts_are_written_as_the_convention_has_them(read: Reader) -> None:
    asked = [
        {
            "role": "user",
            "parts": [
                {"type": "tool_call_response", "id": "t1", "name": "f", "result": {"n": 1}},
                {"type": "image-url", "url": "https://x/y.png"},
                {"type": "binary", "media_type": "image/png", "content": "AAAA"},
            ],
        }
    ]
    answered = [
        {"role": "assistant", "parts": [{"type": "thinking", "content": "hm"}], "finish_reason": "stop"}
    ]
    row = read.record(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.input.messages": json.dumps(asked),
            "gen_ai.output.messages": json.dumps(answered),
        },
        "pydantic-ai",
    )
    response, image, blob = row["InputMessages"][0]["parts"]
    assert response == {"type": "tool_call_response", "id": "t1", "response": {"n": 1}}
    assert (image["type"], image["uri"]) == ("uri", "https://x/y.png")
    assert (blob["type"], blob["mime_type"], blob["content"]) == ("blob", "image/png", "AAAA")
    assert row["OutputMessages"] == [
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}], "finish_reason": "stop"}
    ]


def test_trap_7_gaps_and_hostile_indices(read: Reader) -> None:
    row = read.record(
        {
            "llm.request.type": "chat",
            "gen_ai.system": "openai",
            **MODELS,
            "gen_ai.prompt.999999999.content": "hostile",
            "gen_ai.prompt.99999999999999999999.content": "hostile",
            "gen_ai.prompt.-1.content": "hostile",
            "gen_ai.prompt.2.role": "user",
            "gen_ai.prompt.2.content": "second",
            "gen_ai.prompt.10.role": "tool",
            "gen_ai.prompt.10.content": '{"n": 1}',
            "gen_ai.prompt.10.tool_call_id": "t1",
            "gen_ai.prompt.7.role": "assistant",
            "gen_ai.prompt.7.tool_calls.10.id": "t2",
            "gen_ai.prompt.7.tool_calls.10.name": "g",
            "gen_ai.prompt.7.tool_calls.10.arguments": "not json",
            "gen_ai.prompt.7.tool_calls.9.id": "t1",
            "gen_ai.prompt.7.tool_calls.9.name": "f",
            "gen_ai.prompt.7.tool_calls.9.arguments": '{"a": 1}',
        }
    )
    assert row["InputMessages"] == [
        text("user", "second"),
        {
            "role": "assistant",
            "parts": [
                {"type": "tool_call", "id": "t1", "name": "f", "arguments": {"a": 1}},
                {"type": "tool_call", "id": "t2", "name": "g", "arguments": "not json"},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": {"n": 1}}]},
    ]


def test_trap_7_many_indices_stay_linear(read: Reader) -> None:
    values: dict[str, object] = {"llm.request.type": "chat", "gen_ai.system": "openai", **MODELS}
    for index in range(5000):
        values[f"gen_ai.prompt.{index}.role"] = "user"
        values[f"gen_ai.prompt.{index}.content"] = f"message {index} " + "x" * 200
    started = time.process_time()
    row = read.record(values)
    assert len(row["InputMessages"]) == 5000
    assert row["InputMessages"][4999]["parts"][0]["content"].startswith("message 4999 ")
    assert time.process_time() - started < 10


def test_trap_8_pending_spans_are_dropped(read: Reader) -> None:
    whole = span({"logfire.span_type": "span", "gen_ai.operation.name": "chat"}, name="whole")
    pending = span(
        {
            "logfire.span_type": "pending_span",
            "logfire.pending_parent_id": "0000000000000000",
            "gen_ai.operation.name": "chat",
        },
        trace_id=whole.trace_id,
        name="pending",
    )
    assert [row["SpanName"] for row in read.rows(traces([whole, pending]))] == ["whole"]


def test_logfire_tells_of_a_stream_twice_and_is_counted_once(read: Reader) -> None:
    base = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "request_data": '{"model":"gpt-4o"}',
    }
    begun = span({**base, "logfire.span_type": "span"}, name="begun")
    failed = span({**base, "logfire.span_type": "span"}, name="failed", trace_id=begun.trace_id)
    failed.status.code = Status.StatusCode.STATUS_CODE_ERROR
    ended = span(
        {**base, "logfire.span_type": "log", "gen_ai.usage.output_tokens": 7},
        name="ended",
        trace_id=begun.trace_id,
    )
    request = traces([begun, failed, ended])
    request.resource_spans[0].scope_spans[0].scope.name = "logfire.openai"
    counted = {row["SpanName"]: row["Counted"] for row in read.rows(request)}
    assert counted == {"begun": False, "failed": True, "ended": True}


def test_trap_9_openinference_model_name_is_the_answering_model(read: Reader) -> None:
    values: dict[str, object] = {"openinference.span.kind": "LLM", "llm.model_name": "m-x-2026"}
    row = read.record({**values, "llm.invocation_parameters": json.dumps({"model": "m-x"})})
    assert (row["RequestModel"], row["ResponseModel"]) == ("m-x", "m-x-2026")
    alone = read.record(values)
    assert (alone["RequestModel"], alone["Model"]) == ("m-x-2026", "m-x-2026")


def test_trap_10_what_an_emitter_leaves_out_stays_out(read: Reader) -> None:
    """LiteLLM and vLLM leave a temperature of 0 out: absence is not turned into a value."""
    row = read.record({"gen_ai.latency.e2e": 1.0, "gen_ai.request.model": "m"})
    assert "gen_ai.request.temperature" not in row["SpanAttributes"]
    assert (row["InputTokens"], row["Operation"]) == (None, "text_completion")


def test_trap_11_messages_in_span_events(read: Reader) -> None:
    def event(name: str, values: Mapping[str, object]) -> Span.Event:
        return Span.Event(time_unix_nano=time.time_ns(), name=name, attributes=attributes(values))

    base = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", **MODELS}
    oldest = read.record(
        base,
        events=[
            event("gen_ai.content.prompt", {"gen_ai.prompt": ASKED}),
            event("gen_ai.content.completion", {"gen_ai.completion": json.dumps([ANSWERED])}),
        ],
    )
    newer = read.record(
        base,
        events=[
            event("gen_ai.user.message", {"content": "Why?"}),
            event(
                "gen_ai.choice",
                {"index": 0, "message": json.dumps({"role": "assistant", "content": "Because."})},
            ),
        ],
    )
    for row in (oldest, newer):
        assert row["InputMessages"] == [text("user", "Why?")]
        assert row["OutputMessages"] == [text("assistant", "Because.")]


@pytest.mark.parametrize(
    ("reason", "canonical"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("tool_use", "tool_call"),
        ("tool_calls", "tool_call"),
        ("tool-calls", "tool_call"),
        ("function_call", "tool_call"),
        ("content-filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("refusal", "content_filter"),
        ("something new", "something new"),
    ],
)
def test_trap_12_finish_reasons(read: Reader, reason: str, canonical: str) -> None:
    plain = read.record({"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": [reason]})
    foreign = read.record({"llm.request.type": "chat", "gen_ai.completion.0.finish_reason": reason})
    assert plain["FinishReasons"] == foreign["FinishReasons"] == [canonical]


@pytest.mark.parametrize("name", ["First Token Stream Event", "llm.content.completion.chunk"])
def test_first_token_from_span_events(read: Reader, name: str) -> None:
    start = time.time_ns() - SECOND
    events = [
        Span.Event(time_unix_nano=start + SECOND // 4, name=name),
        Span.Event(time_unix_nano=start + SECOND // 2, name=name),
    ]
    row = read.record({"openinference.span.kind": "LLM"}, start=start, events=events)
    assert row["TimeToFirstToken"] == pytest.approx(0.25)


def test_first_token_from_an_iso_time_in_json(read: Reader) -> None:
    start = time.time_ns() // SECOND * SECOND
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start // SECOND)) + ".250000Z"
    row = read.record(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.completion_start_time": json.dumps(at),
        },
        start=start,
    )
    assert row["TimeToFirstToken"] == pytest.approx(0.25)


def test_tools_in_every_shape(read: Reader) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    expected = [{"type": "function", "name": "f", "description": "does f", "parameters": schema}]
    function = {"name": "f", "description": "does f", "parameters": schema}
    shapes: list[dict[str, object]] = [
        {
            "llm.request.type": "chat",
            "llm.request.functions.0.name": "f",
            "llm.request.functions.0.description": "does f",
            "llm.request.functions.0.parameters": json.dumps(schema),
        },
        {
            "openinference.span.kind": "LLM",
            "llm.tools.0.tool.json_schema": json.dumps({"type": "function", "function": function}),
        },
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.tools": [json.dumps({"type": "function", **function})],
        },
        {
            "mlflow.spanType": '"LLM"',
            "mlflow.chat.tools": json.dumps([{"type": "function", "function": function}]),
        },
    ]
    for values in shapes:
        assert read.record(values)["ToolDefinitions"] == expected, values


def test_pictures_and_answers_with_tools(read: Reader) -> None:
    row = read.record(
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.contents.0.message_content.type": "text",
            "llm.input_messages.0.message.contents.0.message_content.text": "What is it?",
            "llm.input_messages.0.message.contents.1.message_content.type": "image",
            "llm.input_messages.0.message.contents.1.message_content.image.image.url": (
                "data:image/png;base64,AA"
            ),
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "t1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"a":1}',
        }
    )
    assert row["InputMessages"][0]["parts"] == [
        {"type": "text", "content": "What is it?"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AA"},
    ]
    assert row["OutputMessages"][0]["parts"] == [
        {"type": "tool_call", "id": "t1", "name": "f", "arguments": {"a": 1}}
    ]
    vercel = read.record(
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.messages": "[]",
            "ai.response.text": 'a "quoted" text',
            "ai.response.reasoning": "because",
            "ai.response.toolCalls": json.dumps([{"toolCallId": "t1", "toolName": "f", "args": '{"a":1}'}]),
        },
        "ai",
    )
    assert vercel["OutputMessages"][0]["parts"] == [
        {"type": "reasoning", "content": "because"},
        {"type": "text", "content": 'a "quoted" text'},
        {"type": "tool_call", "id": "t1", "name": "f", "arguments": {"a": 1}},
    ]


def test_inputs_of_tools_and_chains_stay_attributes(read: Reader) -> None:
    row = read.record({"openinference.span.kind": "TOOL", "input.value": "in", "output.value": "out"})
    assert row["Operation"] == "execute_tool"
    assert row["InputMessages"] is None
    assert (row["SpanAttributes"]["input.value"], row["SpanAttributes"]["output.value"]) == ("in", "out")


def test_text_that_only_looks_like_json_is_kept(read: Reader) -> None:
    row = read.record(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": "[not json",
            "langfuse.observation.output": '"quoted" she said {',
        }
    )
    assert row["InputMessages"] == [text("user", "[not json")]
    assert row["OutputMessages"] == [text("assistant", '"quoted" she said {')]


def test_violations_are_kept_and_flagged(read: Reader) -> None:
    base = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
    cache = read.record({**base, "gen_ai.usage.cache_read.input_tokens": 11})
    assert (cache["UsageFault"], cache["CacheReadTokens"], cache["InputTokens"]) == (
        "cache exceeds input",
        11,
        10,
    )
    reasoning = read.record({**base, "gen_ai.usage.reasoning.output_tokens": 6})
    assert reasoning["UsageFault"] == "reasoning exceeds output"
    assert read.record(base)["UsageFault"] == ""
