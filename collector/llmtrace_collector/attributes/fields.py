"""The one table of attributes: every column of spans that comes from them, and where each dialect keeps it.

To support another emitter, add its keys to `dialects` of what it tells, and its recorded spans to the tests.
The columns, their comments, what fills them, the documentation and the probe for foreign spans follow.
"""

from __future__ import annotations

from llmtrace import semconv

from .counts import COUNTS
from .field import Derived, Field, alternatives
from .operations import LLM_OPERATIONS
from .stated_costs import CURRENCY_IN, STATED_IN

#: What a span does.
OPERATION_KEY = semconv.OPERATION_NAME

#: The provider, as conventions before 1.37 named it.
SYSTEM = "gen_ai.system"

#: Attributes by which a span, a log record or a data point names a user.
USER_KEYS = (semconv.USER_ID, "enduser.id")

#: Times that vLLM's engine gives of a request, in seconds.
VLLM_TTFT = "gen_ai.latency.time_to_first_token"
VLLM_TIMES = ("gen_ai.latency.time_in_queue", "gen_ai.latency.e2e")

#: The sender's word that a span's usage is counted elsewhere (`false`).
COUNTED_KEY = semconv.COUNTED

#: What stands for that word in the columns of `DERIVED`.
SENDER_COUNTS = "sender_counts"

#: Other places in which dialects name the provider, for where a framework has put itself in the first.
PROVIDER_HINTS = (
    "traceloop.association.properties.ls_provider",
    "llm.provider",
    "ai.model.provider",
    "litellm.provider",
    "mlflow.llm.provider",
)

#: The address that was called: of the conventions, and URLs of dialects.
ADDRESS_KEYS = (
    semconv.SERVER_ADDRESS,
    "gen_ai.openai.api_base",
    "openai.api_base",
    "llm.openai.api_base",
    "litellm.api_base",
)

#: What stands, in columns of `DERIVED`, for the provider that a span names, and for what follows from all
#: that it says, with what told it.
NAMED_PROVIDER = "named_provider"
PROVIDER_EVIDENCE = "provider_evidence"

#: Milliseconds from the start to the first token, where a dialect has them as attributes.
FIRST_TOKEN_MS = (
    "ai.response.msToFirstChunk",
    "ai.stream.msToFirstChunk",
    # Strands takes the name of a metric in seconds for milliseconds.
    semconv.SERVER_TIME_TO_FIRST_TOKEN,
)

#: An ISO time of the first token.
FIRST_TOKEN_AT = ("langfuse.observation.completion_start_time",)

#: Attributes that hold a Python dictionary as it prints itself, where others have JSON.
PYTHON_DOCUMENTS = ("metadata.usage_object",)

#: Span events whose time is the first token's.
FIRST_TOKEN_EVENTS = (
    "First Token Stream Event",
    "gen_ai.content.completion.chunk",
    "llm.content.completion.chunk",
    "ai.stream.firstChunk",
    "mlflow.chunk.item.0",
)

#: What a span's own attributes say of it.
_OF_SPANS: tuple[Field, ...] = (
    Field(
        "Operation",
        "LowCardinality(String)",
        f"What the span does: {', '.join(LLM_OPERATIONS)}, or another step",
        (semconv.OPERATION_NAME,),
    ),
    Field(
        "ReportedProvider",
        "LowCardinality(String)",
        "Provider as the emitter wrote it, or what it wrote in its place",
        (semconv.PROVIDER_NAME,),
        dialects=(
            SYSTEM,
            "llm.provider",
            "llm.system",
            "ai.model.provider",
            "mlflow.llm.provider",
            "llm.vendor",
        ),
    ),
    Field(
        "RequestModel",
        "LowCardinality(String)",
        "Model that was asked for",
        (semconv.REQUEST_MODEL,),
        dialects=(
            "llm.request.model_name",
            "llm.invocation_parameters>model",
            "embedding.invocation_parameters>model",
            "ai.model.id",
            "request_data>model",
            "inputs>model",
            "langfuse.observation.model.name",
            # MLflow's own key ends with the answering model.
            "mlflow.spanInputs>model",
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
        "Model that answered",
        (semconv.RESPONSE_MODEL,),
        dialects=(
            "llm.response.model_name",
            "llm.model_name",
            "ai.response.model",
            "llm.response.model",
            "output.value>model",
            "mlflow.spanOutputs>model",
            # Langfuse has one name for both; its wrapper of OpenAI's client ends with the answering one.
            "langfuse.observation.model.name",
        ),
    ),
    Field(
        "ResponseId",
        "String",
        "The provider's id of the answer",
        (semconv.RESPONSE_ID,),
        dialects=(
            "ai.response.id",
            "output.value>id",
            # LangChain's result as it writes itself.
            "output.value>generations>1>1>message>kwargs>response_metadata>id",
            "response_data>id",
            "mlflow.spanOutputs>id",
            "langfuse.observation.output>id",
            "output>id",
            # Prompt flow has a stream's chunks here.
            "output>1>id",
        ),
        codec="ZSTD(3)",
    ),
    Field(
        "FinishReasons",
        "Array(LowCardinality(String))",
        "Why each choice of the answer ended",
        (semconv.RESPONSE_FINISH_REASONS,),
        dialects=(
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
            "output>-1>choices>1>finish_reason",
            "output>-2>choices>1>finish_reason",
            "langfuse.observation.metadata.finish_reason",
            "output.value>generations>1>1>generation_info>finish_reason",
            "output.value>generations>1>1>message>kwargs>response_metadata>finish_reason",
            "gen_ai.output.messages>1>finish_reason",
        ),
        convert="finish_reasons",
    ),
    Field(
        "ErrorType",
        "LowCardinality(String)",
        "Kind of the error; empty without one",
        (semconv.ERROR_TYPE,),
    ),
    Field(
        "UserId",
        "String",
        "User for whom was called",
        USER_KEYS[:1],
        dialects=(
            *USER_KEYS[1:],
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
        codec="ZSTD(3)",
    ),
    Field(
        "SessionId",
        "String",
        "Conversation that the span belongs to",
        (semconv.SESSION_ID,),
        dialects=(
            semconv.CONVERSATION_ID,
            "langfuse.session.id",
            "traceloop.association.properties.session_id",
            "ai.telemetry.metadata.sessionId",
            "mlflow.trace.session",
            "anthropic.session.id",
            "session_id",
        ),
        codec="ZSTD(3)",
    ),
    Field(
        "Tags",
        "Array(LowCardinality(String))",
        "Tags that the program gave",
        (semconv.TAGS,),
        dialects=(
            "tag.tags",
            "langfuse.trace.tags",
            "langfuse.tags",
            "logfire.tags",
            "ai.telemetry.metadata.tags",
        ),
        convert="string_list",
    ),
    Field(
        "Experiment",
        "LowCardinality(String)",
        "Experiment that the span belongs to",
        (semconv.EXPERIMENT,),
    ),
    Field(
        "RunId",
        "LowCardinality(String)",
        "Run of that experiment",
        (semconv.RUN,),
    ),
    Field(
        "PromptName",
        "LowCardinality(String)",
        "Prompt that was used",
        (semconv.PROMPT_NAME,),
        dialects=(
            "traceloop.prompt.key",
            "langfuse.observation.prompt.name",
            "prompt.id",
        ),
    ),
    Field(
        "PromptVersion",
        "LowCardinality(String)",
        "Version of that prompt",
        (semconv.PROMPT_VERSION,),
        dialects=(
            "traceloop.prompt.version",
            "langfuse.observation.prompt.version",
            "llm.prompt_template.version",
        ),
    ),
    Field(
        "Purpose",
        "LowCardinality(String)",
        f"What the call was for: {alternatives(semconv.PURPOSES)}",
        (semconv.PURPOSE,),
        convert="purpose",
        of_resource=(semconv.PURPOSE, semconv.SIMULATED),
    ),
)

#: When parts of the answer came; definitions in `sql/functions/timings.sql`.
_TIMINGS: tuple[Field, ...] = (
    Field(
        "TimeToFirstByte",
        "Nullable(Float64)",
        "Seconds from begin to the first byte of the answer",
        (semconv.RESPONSE_TIME_TO_FIRST_BYTE,),
        convert="seconds",
        unit="seconds",
    ),
    Field(
        "TimeToFirstToken",
        "Nullable(Float64)",
        "Seconds from begin to the first token",
        (semconv.RESPONSE_TIME_TO_FIRST_CHUNK,),
        dialects=(
            "gen_ai.client.operation.time_to_first_chunk",
            VLLM_TTFT,
        ),
        convert="seconds",
        unit="seconds",
    ),
    Field(
        "TimeToLastToken",
        "Nullable(Float64)",
        "Seconds from begin to the last token",
        (semconv.RESPONSE_TIME_TO_LAST_TOKEN,),
        convert="seconds",
        unit="seconds",
    ),
)

#: What counting and pricing a call depends on.
_ACCOUNTING: tuple[Field, ...] = (
    Field(
        "Weight",
        "Float64",
        "Calls that a sampled span stands for; 1 for the others",
        (semconv.SAMPLE_WEIGHT,),
        convert="weight",
        unit="calls",
    ),
    Field(
        "ServiceTier",
        "LowCardinality(String)",
        "Tier by which prices differ; empty for the standard one, response_cache for no model",
        # What answered goes before what was asked for; ours, which says what else decides, before all.
        (
            semconv.RESPONSE_SERVICE_TIER,
            semconv.OPENAI_RESPONSE_SERVICE_TIER,
            "gen_ai.openai.response.service_tier",
            semconv.ANTHROPIC_RESPONSE_SERVICE_TIER,
            semconv.OPENAI_REQUEST_SERVICE_TIER,
            "gen_ai.openai.request.service_tier",
            semconv.ANTHROPIC_REQUEST_SERVICE_TIER,
            semconv.REQUEST_SERVICE_TIER,
        ),
        convert="service_tier",
        also=(semconv.RESPONSE_CACHE_HIT,),
        codec="",
        of_calls=True,
    ),
    Field(
        "Account",
        "LowCardinality(String)",
        "Account at the provider that pays",
        (semconv.ACCOUNT,),
        codec="",
        of_calls=True,
    ),
    Field(
        "StatedCost",
        "Nullable(Float64)",
        "USD that StatedBy says the call cost; NULL where nobody said, or what was said can be no cost",
        (semconv.USAGE_STATED_COST,),
        dialects=tuple(STATED_IN),
        convert="stated_cost",
        also=CURRENCY_IN,
        unit="USD",
        of_calls=True,
    ),
    Field(
        "StatedBy",
        "LowCardinality(String)",
        "Who said what the call cost: the biller in its answer, a gateway, a framework; empty for nobody",
        (semconv.USAGE_STATED_BY,),
        codec="",
        of_calls=True,
    ),
    Field(
        "Estimated",
        "LowCardinality(String)",
        "Which of its tokens are estimated from text, for nobody told: input, output, input+output; or empty",
        (semconv.USAGE_ESTIMATED,),
        codec="",
        of_calls=True,
    ),
)

#: Every column that is one attribute's value, but for the texts.
FIELDS: tuple[Field, ...] = (*_OF_SPANS, *COUNTS, *_TIMINGS, *_ACCOUNTING)

#: Text too large to sit in the attribute map: its own column, stripped from the map. What dialects have there
#: is JSON of chat messages in some provider's shape, or bare text.
TEXTS: tuple[Field, ...] = (
    Field(
        "InputMessages",
        "String",
        "Messages that were sent, JSON of the GenAI conventions",
        (semconv.INPUT_MESSAGES,),
        dialects=(
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
            "inputs>input",
            "ai.value",
            "gcp.vertex.agent.llm_request>contents",
            "llm.prompts.0.prompt.text",
            "input.value",
        ),
        codec="ZSTD(3)",
    ),
    Field(
        "OutputMessages",
        "String",
        "Messages that came back, JSON of the GenAI conventions",
        (semconv.OUTPUT_MESSAGES,),
        dialects=(
            "response_data>message",
            "response_data>combined_chunk_content",
            "mlflow.spanOutputs>choices",
            "mlflow.spanOutputs",
            "langfuse.observation.output>choices",
            "langfuse.observation.output",
            "output.value>choices",
            "gen_ai.completion",
            "output>choices",
            "llm.generated_message",
            "gcp.vertex.agent.llm_response>content",
            "llm.choices.0.completion.text",
            "ai.response.object",
            "output.value",
        ),
        codec="ZSTD(3)",
    ),
    Field(
        "SystemInstructions",
        "String",
        "Instructions apart from the messages, JSON of the GenAI conventions",
        (semconv.SYSTEM_INSTRUCTIONS,),
        dialects=(
            "ai.prompt>system",
            "request_data>system",
            "request_data>instructions",
            "gcp.vertex.agent.llm_request>config>system_instruction",
            "mlflow.spanInputs>system",
        ),
        codec="ZSTD(3)",
    ),
    Field(
        "ToolDefinitions",
        "String",
        "Tools that the model could call, JSON of the GenAI conventions",
        (semconv.TOOL_DEFINITIONS,),
        dialects=(
            "ai.prompt.tools",
            "mlflow.chat.tools",
            "request_data>tools",
            "langfuse.observation.input>tools",
            "inputs>tools",
            "gcp.vertex.agent.llm_request>config>tools>1>function_declarations",
        ),
        codec="ZSTD(3)",
    ),
)

#: Columns computed from the others, in the order in which they are computed.
DERIVED: tuple[Derived, ...] = (
    Derived(
        "Model",
        "LowCardinality(String)",
        "Model that was asked for, else the one that answered",
        "model",
        ("RequestModel", "ResponseModel"),
    ),
    Derived("IsLlm", "Bool", "Whether the span calls a model", "is_llm", ("Operation",)),
    Derived(
        "Provider",
        "LowCardinality(String)",
        "Provider that was called, by the conventions' name; unknown where nothing tells",
        "provider",
        (PROVIDER_EVIDENCE,),
        default="llmtrace_provider_name(ReportedProvider)",
    ),
    Derived(
        "ProviderSource",
        "LowCardinality(String)",
        "What told the provider: empty for the emitter, address, or inferred from the model: prefix or list",
        "provider_source",
        (PROVIDER_EVIDENCE, NAMED_PROVIDER),
        default="''",
    ),
    Derived(
        "Uncounted",
        "LowCardinality(String)",
        "Why it is no call of its own: sender, server, no_request, repeats, duplicate, retry; or empty",
        "uncounted",
        ("IsLlm", SENDER_COUNTS, "SpanKind", "ParentSpanId", "SpanName", "InputTokens"),
    ),
    Derived(
        "Counted",
        "Bool",
        "Whether usage and cost count the span: a call, or a retried attempt that was billed",
        "counted",
        ("IsLlm", "Uncounted"),
    ),
    Derived(
        "UsageFault",
        "LowCardinality(String)",
        "What in its token counts contradicts itself; empty for nothing",
        "usage_fault",
        (
            "InputTokens",
            "OutputTokens",
            "CacheReadTokens",
            "CacheWriteTokens",
            "CacheWrite1hTokens",
            "ReasoningTokens",
            "AudioInputTokens + ImageInputTokens + VideoInputTokens",
            "AudioOutputTokens + ImageOutputTokens + VideoOutputTokens",
        ),
    ),
    Derived(
        "TimePerOutputToken",
        "Nullable(Float64)",
        "Seconds from one output token to the next; reasoning tokens count: too short where not streamed",
        "time_per_output_token",
        ("TimeToFirstToken", "TimeToLastToken", "Duration", "OutputTokens"),
        unit="seconds",
    ),
    Derived(
        "TpotEstimated",
        "Bool",
        "Whether TimePerOutputToken takes the span's end for the last token's time",
        "tpot_estimated",
        ("TimePerOutputToken", "TimeToLastToken"),
    ),
    Derived(
        "PromptHash",
        "UInt64",
        "Hash of model, messages, instructions and tools: equal for equal requests; 0 without messages",
        "prompt_hash",
        ("Model", "InputMessages", "SystemInstructions", "ToolDefinitions"),
        codec="ZSTD(1)",
    ),
)
