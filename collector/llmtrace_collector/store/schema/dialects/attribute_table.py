"""The one table of attribute names: canonical column → where each dialect of LLM telemetry keeps the value.

A source is an attribute key; `key>a>1>b` reaches into the JSON text that the key holds (indices from 1).
The first source that carries a value wins; values are never added together. The first source of a row is
the current convention's key: a span with no other key of this table is *plain* and takes the fast path.
Any other key makes the span *foreign*, and every source is looked at. To support another emitter, add its
keys here and its recorded spans to the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from llmtrace import semconv

#: Operations that call a model and therefore carry usage of their own.
LLM_OPERATIONS = ("chat", "text_completion", "generate_content", "embeddings")

#: Indices of flattened keys beyond this are taken for hostile and left out.
MAX_INDEX = 10_000


#: The provider, as conventions before 1.37 named it.
SYSTEM = "gen_ai.system"

#: Attributes by which a span, a log record or a data point names a user.
USER_KEYS = (semconv.USER_ID, "enduser.id")

#: Times that vLLM's engine gives of a request, in seconds.
VLLM_TTFT = "gen_ai.latency.time_to_first_token"
VLLM_TIMES = ("gen_ai.latency.time_in_queue", "gen_ai.latency.e2e")

#: The text of a span event that stands for a message.
EVENT_CONTENT = "gen_ai.event.content"


@dataclass(frozen=True)
class Field:
    """One computed column: its SQL type, its sources, and how the text becomes the type."""

    name: str
    type: str
    keys: tuple[str, ...]
    convert: str = "text"


FIELDS: tuple[Field, ...] = (
    Field("Operation", "LowCardinality(String)", (semconv.OPERATION_NAME,), "operation"),
    Field(
        "Provider",
        "LowCardinality(String)",
        (
            semconv.PROVIDER_NAME,
            SYSTEM,
            "llm.provider",
            "llm.system",
            "ai.model.provider",
            "mlflow.llm.provider",
            "llm.vendor",
        ),
        "provider",
    ),
    Field(
        "RequestModel",
        "LowCardinality(String)",
        (
            semconv.REQUEST_MODEL,
            "llm.request.model_name",
            "llm.invocation_parameters>model",
            "embedding.invocation_parameters>model",
            "ai.model.id",
            "request_data>model",
            "langfuse.observation.model.name",
            "mlflow.llm.model",
            "llm.request.model",
            "embedding.model_name",
            "reranker.model_name",
            # OpenInference writes the answering model here once it is known: better than nothing.
            "llm.model_name",
        ),
    ),
    Field(
        "ResponseModel",
        "LowCardinality(String)",
        (
            semconv.RESPONSE_MODEL,
            "llm.response.model_name",
            "llm.model_name",
            "ai.response.model",
            "llm.response.model",
            "output.value>model",
            "mlflow.spanOutputs>model",
        ),
    ),
    Field(
        "ResponseId",
        "String",
        (
            semconv.RESPONSE_ID,
            "ai.response.id",
            "output.value>id",
            "response_data>id",
            "mlflow.spanOutputs>id",
            "langfuse.observation.output>id",
            "output>id",
        ),
    ),
    Field(
        "FinishReasons",
        "Array(LowCardinality(String))",
        (
            semconv.RESPONSE_FINISH_REASONS,
            "gen_ai.response.finish_reason",
            "gen_ai.response.stop_reason",
            "gen_ai.completion.0.finish_reason",
            "llm.response.finish_reason",
            "llm.response.stop_reason",
            "llm.finish_reason",
            "ai.response.finishReason",
            "ai.finishReason",
            "anthropic.message.stop_reason",
            "output.value>choices>1>finish_reason",
            "output.value>stop_reason",
            "response_data>message>stop_reason",
            "mlflow.spanOutputs>choices>1>finish_reason",
            "mlflow.spanOutputs>stop_reason",
            "output>choices>1>finish_reason",
        ),
        "finish_reasons",
    ),
    Field("ErrorType", "LowCardinality(String)", (semconv.ERROR_TYPE,)),
    Field(
        "UserId",
        "String",
        (
            *USER_KEYS,
            "langfuse.user.id",
            "gen_ai.user",
            "gen_ai.request.user",
            "llm.user",
            "traceloop.association.properties.user_id",
            "ai.telemetry.metadata.userId",
            "mlflow.trace.user",
            "litellm.end_user.id",
            "metadata.user_api_key_end_user_id",
            "metadata.user_api_key_user_id",
            "gen_ai.prompt.0.user",
        ),
    ),
    Field(
        "SessionId",
        "String",
        (
            semconv.SESSION_ID,
            semconv.CONVERSATION_ID,
            "langfuse.session.id",
            "traceloop.association.properties.session_id",
            "ai.telemetry.metadata.sessionId",
            "mlflow.trace.session",
            "anthropic.session.id",
            "session_id",
        ),
    ),
    Field(
        "Tags",
        "Array(LowCardinality(String))",
        (
            semconv.TAGS,
            "tag.tags",
            "langfuse.trace.tags",
            "langfuse.tags",
            "logfire.tags",
            "ai.telemetry.metadata.tags",
        ),
        "strings",
    ),
    Field("Experiment", "LowCardinality(String)", (semconv.EXPERIMENT,)),
    Field("RunId", "LowCardinality(String)", (semconv.RUN,)),
    Field(
        "PromptName",
        "LowCardinality(String)",
        (
            semconv.PROMPT_NAME,
            "traceloop.prompt.key",
            "langfuse.observation.prompt.name",
            "prompt.id",
        ),
    ),
    Field(
        "PromptVersion",
        "LowCardinality(String)",
        (
            semconv.PROMPT_VERSION,
            "traceloop.prompt.version",
            "langfuse.observation.prompt.version",
            "llm.prompt_template.version",
        ),
    ),
    Field(
        "InputTokens",
        "Nullable(UInt64)",
        (
            semconv.USAGE_INPUT_TOKENS,
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
            "mlflow.chat.tokenUsage>input_tokens",
            "langfuse.observation.usage_details>input",
            "langfuse.observation.usage_details>prompt_tokens",
            "langfuse.observation.usage_details>input_tokens",
            "llm.usage.prompt_tokens",
            "response_data>usage>prompt_tokens",
            "response_data>usage>input_tokens",
        ),
        "count",
    ),
    Field(
        "OutputTokens",
        "Nullable(UInt64)",
        (
            semconv.USAGE_OUTPUT_TOKENS,
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
            "mlflow.chat.tokenUsage>output_tokens",
            "langfuse.observation.usage_details>output",
            "langfuse.observation.usage_details>completion_tokens",
            "langfuse.observation.usage_details>output_tokens",
            "llm.usage.completion_tokens",
            "response_data>usage>completion_tokens",
            "response_data>usage>output_tokens",
        ),
        "count",
    ),
    Field(
        "CacheReadTokens",
        "UInt64",
        (
            semconv.USAGE_CACHE_READ_INPUT_TOKENS,
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.cached_tokens",
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
            "ai.response.providerMetadata>openai>cachedPromptTokens",
            "ai.response.providerMetadata>anthropic>usage>cache_read_input_tokens",
            "ai.response.providerMetadata>anthropic>cacheReadInputTokens",
            "ai.response.providerMetadata>bedrock>usage>cacheReadInputTokens",
            "mlflow.chat.tokenUsage>cache_read_input_tokens",
            "langfuse.observation.usage_details>input_cached_tokens",
            "langfuse.observation.usage_details>cache_read_input_tokens",
            "langfuse.observation.usage_details>input_cache_read",
            "response_data>usage>prompt_tokens_details>cached_tokens",
            "response_data>usage>cache_read_input_tokens",
        ),
        "count_or_0",
    ),
    Field(
        "CacheWriteTokens",
        "UInt64",
        (
            semconv.USAGE_CACHE_WRITE_INPUT_TOKENS,
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
            "gen_ai.usage.details.cache_write_tokens",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
            "ai.response.providerMetadata>anthropic>usage>cache_creation_input_tokens",
            "ai.response.providerMetadata>anthropic>cacheCreationInputTokens",
            "ai.response.providerMetadata>bedrock>usage>cacheWriteInputTokens",
            "mlflow.chat.tokenUsage>cache_creation_input_tokens",
            "langfuse.observation.usage_details>input_cache_creation",
            "langfuse.observation.usage_details>cache_creation_input_tokens",
            "response_data>usage>cache_creation_input_tokens",
        ),
        "count_or_0",
    ),
    Field(
        "ReasoningTokens",
        "UInt64",
        (
            semconv.USAGE_REASONING_OUTPUT_TOKENS,
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
            "langfuse.observation.usage_details>output_reasoning_tokens",
            "langfuse.observation.usage_details>completion_tokens_details.reasoning_tokens",
            "response_data>usage>completion_tokens_details>reasoning_tokens",
        ),
        "count_or_0",
    ),
    Field(
        "TimeToFirstToken",
        "Nullable(Float64)",
        (
            semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
            "gen_ai.client.operation.time_to_first_chunk",
            VLLM_TTFT,
        ),
        "seconds",
    ),
    Field("Weight", "Float64", (semconv.SAMPLE_WEIGHT,), "weight"),
)

#: The sender's word that a span's usage is counted elsewhere (`false`).
COUNTED_KEY = semconv.COUNTED

#: Milliseconds from the start to the first token, where a dialect has them as attributes.
FIRST_TOKEN_MS = ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")

#: An ISO time of the first token.
FIRST_TOKEN_AT = ("langfuse.observation.completion_start_time",)

#: Span events whose time is the first token's.
FIRST_TOKEN_EVENTS = (
    "First Token Stream Event",
    "gen_ai.content.completion.chunk",
    "llm.content.completion.chunk",
    "ai.stream.firstChunk",
)

#: Keys that name what a span is: key → its lower-cased value → operation. In order of trust.
OPERATIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        semconv.OPERATION_NAME: {
            "chat": "chat",
            "text_completion": "text_completion",
            "completion": "text_completion",
            "acompletion": "chat",
            "embedding": "embeddings",
            "embeddings": "embeddings",
            "aembedding": "embeddings",
            "message": "chat",
            "messages": "chat",
            "responses": "chat",
            "aresponses": "chat",
            "anthropic_messages": "chat",
        },
        "openinference.span.kind": {
            "llm": "chat",
            "embedding": "embeddings",
            "retriever": "retrieval",
            "tool": "execute_tool",
            "agent": "invoke_agent",
            "chain": "invoke_workflow",
            "reranker": "rerank",
        },
        # LiteLLM's call types stand here too: its `completion` is a chat.
        "llm.request.type": {
            "chat": "chat",
            "completion": "text_completion",
            "acompletion": "chat",
            "embedding": "embeddings",
            "aembedding": "embeddings",
            "rerank": "rerank",
        },
        "ai.operationId": {
            "ai.generatetext": "invoke_agent",
            "ai.streamtext": "invoke_agent",
            "ai.generateobject": "invoke_agent",
            "ai.streamobject": "invoke_agent",
            "ai.generatetext.dogenerate": "chat",
            "ai.streamtext.dostream": "chat",
            "ai.generateobject.dogenerate": "chat",
            "ai.streamobject.dostream": "chat",
            "ai.embed": "invoke_workflow",
            "ai.embedmany": "invoke_workflow",
            "ai.embed.doembed": "embeddings",
            "ai.embedmany.doembed": "embeddings",
            "ai.rerank": "rerank",
            "ai.toolcall": "execute_tool",
        },
        "langfuse.observation.type": {
            "generation": "chat",
            "embedding": "embeddings",
            "tool": "execute_tool",
            "retriever": "retrieval",
            "agent": "invoke_agent",
            "chain": "invoke_workflow",
        },
        "mlflow.spanType": {
            "llm": "chat",
            "chat_model": "chat",
            "embedding": "embeddings",
            "tool": "execute_tool",
            "retriever": "retrieval",
            "agent": "invoke_agent",
            "chain": "invoke_workflow",
            "workflow": "invoke_workflow",
            "reranker": "rerank",
        },
        "traceloop.span.kind": {
            "workflow": "invoke_workflow",
            "agent": "invoke_agent",
            "tool": "execute_tool",
        },
        # Prompt flow.
        "span_type": {
            "llm": "chat",
            "embedding": "embeddings",
            "tool": "execute_tool",
            "flow": "invoke_workflow",
            "retrieval": "retrieval",
        },
    }
)

#: Provider names of dialects and older conventions, lower-cased → the current ones.
PROVIDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "vertex_ai": "gcp.vertex_ai",
        "vertexai": "gcp.vertex_ai",
        "google-vertex": "gcp.vertex_ai",
        "google.vertex": "gcp.vertex_ai",
        "google.vertex.chat": "gcp.vertex_ai",
        "gemini": "gcp.gemini",
        "google": "gcp.gemini",
        "google.generative-ai": "gcp.gemini",
        "google_genai": "gcp.gemini",
        "az.ai.openai": "azure.ai.openai",
        "azure": "azure.ai.openai",
        "azure-openai": "azure.ai.openai",
        "azure-openai.chat": "azure.ai.openai",
        "azure_openai": "azure.ai.openai",
        "az.ai.inference": "azure.ai.inference",
        "azure_ai": "azure.ai.inference",
        "amazon-bedrock": semconv.PROVIDER_AWS_BEDROCK,
        "amazon": semconv.PROVIDER_AWS_BEDROCK,
        "aws": semconv.PROVIDER_AWS_BEDROCK,
        "bedrock": semconv.PROVIDER_AWS_BEDROCK,
        "bedrock_converse": semconv.PROVIDER_AWS_BEDROCK,
        "xai": "x_ai",
        "xai.chat": "x_ai",
        "mistralai": "mistral_ai",
        "mistral": "mistral_ai",
        "mistral.chat": "mistral_ai",
        "moonshot": "moonshot_ai",
        "openai": "openai",
        "openai.chat": "openai",
        "openai.responses": "openai",
        "openai.completion": "openai",
        "openai.embedding": "openai",
        "anthropic": "anthropic",
        "anthropic.messages": "anthropic",
        "cohere": "cohere",
        "cohere.chat": "cohere",
        "groq.chat": "groq",
        "deepseek.chat": "deepseek",
        "perplexity.chat": "perplexity",
        "watsonx": "ibm.watsonx.ai",
    }
)

#: Finish reasons of providers and dialects, lower-cased → the convention's.
FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "complete": "stop",
        "completed": "stop",
        "eos": "stop",
        "finish_reason_stop": "stop",
        "max_tokens": "length",
        "max_output_tokens": "length",
        "model_length": "length",
        "tool_use": "tool_call",
        "tool_calls": "tool_call",
        "tool-calls": "tool_call",
        "function_call": "tool_call",
        "content-filter": "content_filter",
        "safety": "content_filter",
        "refusal": "content_filter",
        "content_filtered": "content_filter",
        "guardrail_intervened": "content_filter",
    }
)

#: Text too large to sit in the attribute map: its own column, stripped from the map. Sources as in `FIELDS`;
#: those after the first are JSON of chat messages in some provider's shape, or bare text.
TEXT_COLUMNS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "InputMessages": (
            semconv.INPUT_MESSAGES,
            "ai.prompt.messages",
            "ai.prompt>messages",
            "ai.prompt>prompt",
            "request_data>messages",
            "request_data>input",
            "mlflow.spanInputs>messages",
            "mlflow.spanInputs>input",
            "langfuse.observation.input>messages",
            "langfuse.observation.input",
            "input.value>messages",
            "gen_ai.prompt",
            "inputs>messages",
            "inputs>prompt",
            "llm.prompts.0.prompt.text",
            "input.value",
        ),
        "OutputMessages": (
            semconv.OUTPUT_MESSAGES,
            "response_data>message",
            "response_data>combined_chunk_content",
            "mlflow.spanOutputs>choices",
            "mlflow.spanOutputs",
            "langfuse.observation.output>choices",
            "langfuse.observation.output",
            "output.value>choices",
            "gen_ai.completion",
            "output>choices",
            "llm.choices.0.completion.text",
            "ai.response.object",
            "output.value",
        ),
        "SystemInstructions": (
            semconv.SYSTEM_INSTRUCTIONS,
            "ai.prompt>system",
            "request_data>system",
            "request_data>instructions",
            "mlflow.spanInputs>system",
        ),
        "ToolDefinitions": (
            semconv.TOOL_DEFINITIONS,
            "ai.prompt.tools",
            "mlflow.chat.tools",
            "request_data>tools",
        ),
    }
)

#: Flattened messages and tools: column → the prefixes before `.{index}.`.
INDEXED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "InputMessages": ("gen_ai.prompt", "llm.input_messages"),
        "OutputMessages": ("gen_ai.completion", "llm.output_messages"),
        "ToolDefinitions": ("llm.request.functions", "llm.tools"),
    }
)

#: Messages in span events of older conventions: column → event name → attribute (JSON or text), role.
EVENT_MESSAGES: Mapping[str, Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "InputMessages": {
            "gen_ai.content.prompt": ("gen_ai.prompt", "user"),
            "gen_ai.system.message": ("content", "system"),
            "gen_ai.user.message": ("content", "user"),
            "gen_ai.assistant.message": ("content", "assistant"),
            "gen_ai.tool.message": ("content", "tool"),
        },
        "OutputMessages": {
            "gen_ai.content.completion": ("gen_ai.completion", "assistant"),
            "gen_ai.choice": ("message", "assistant"),
        },
    }
)

#: Keys that mark a dialect without being the source of a column.
SENTINELS = (
    *(key for key in OPERATIONS if key != semconv.OPERATION_NAME),
    *FIRST_TOKEN_MS,
    *FIRST_TOKEN_AT,
    *VLLM_TIMES,
    "logfire.span_type",
    "gen_ai.is_streaming",
    "llm.is_streaming",
    "model_request_parameters",
    "pydantic_ai.all_messages",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.response.reasoning",
    "ai.result.text",
    "gen_ai.prompt.0.role",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.role",
    "gen_ai.completion.0.content",
    "llm.input_messages.0.message.role",
    "llm.output_messages.0.message.role",
)

#: Scopes whose spans need a second look although all their keys are current ones.
FOREIGN_SCOPES = ("pydantic-ai",)


def key_of(source: str) -> str:
    """The attribute key of a source."""
    return source.split(">", 1)[0]
