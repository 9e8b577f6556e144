"""Which attributes hold content: what people and models said, and what tools were asked and answered."""

from __future__ import annotations

from llmtrace import semconv
from llmtrace_collector.sql_values import literal, literals

from .attribute_table import EVENT_CONTENT, EVENT_MESSAGES, TEXT_COLUMNS, key_of

#: Whole keys beside those that fill the text columns.
CONTENT_KEYS = frozenset(
    {
        *(key_of(source) for sources in TEXT_COLUMNS.values() for source in sources),
        *(key for events in EVENT_MESSAGES.values() for key, _ in events.values() if "." in key),
        # OpenTelemetry, and what OpenLIT, Semantic Kernel and MCP's instrumentations make of it.
        semconv.TOOL_CALL_ARGUMENTS,
        semconv.TOOL_CALL_RESULT,
        "gen_ai.tool.args",
        "gen_ai.tool.input",
        "gen_ai.tool.output",
        semconv.RETRIEVAL_DOCUMENTS,
        semconv.RETRIEVAL_QUERY_TEXT,
        "gen_ai.memory.query.text",
        "gen_ai.memory.records",
        semconv.EVALUATION_EXPLANATION,
        EVENT_CONTENT,
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
        "mcp.request.argument",
        "mcp.response.value",
        "http.request.body",
        "http.response.body",
        # llmtrace.
        semconv.FUNCTION_ARGUMENTS,
        semconv.FUNCTION_RESULT,
        # OpenLLMetry.
        "traceloop.entity.input",
        "traceloop.entity.output",
        "traceloop.prompt.template",
        "traceloop.prompt.template_variables",
        # OpenInference.
        "llm.invocation_parameters",
        "llm.prompt_template.template",
        "llm.prompt_template.variables",
        "llm.function_call",
        "embedding.text",
        "tool.parameters",
        "reranker.query",
        # Vercel AI SDK.
        "ai.prompt",
        "ai.response.text",
        "ai.response.toolCalls",
        "ai.response.reasoning",
        "ai.response.files",
        "ai.response.providerMetadata",
        "ai.result.text",
        "ai.result.toolCalls",
        "ai.result.object",
        "ai.toolCall.args",
        "ai.toolCall.result",
        "ai.value",
        "ai.values",
        "ai.embedding",
        "ai.embeddings",
        "ai.documents",
        "ai.ranking",
        "ai.schema",
        # Logfire and pydantic-ai.
        "request_data",
        "response_data",
        "events",
        "all_messages",
        "all_messages_events",
        "pydantic_ai.all_messages",
        "final_result",
        "model_request_parameters",
        "tool_arguments",
        "tool_response",
        # MLflow and Langfuse.
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "mlflow.traceInputs",
        "mlflow.traceOutputs",
        "mlflow.chat.messages",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "langfuse.trace.input",
        "langfuse.trace.output",
        # Prompt flow.
        "inputs",
        "output",
        "prompt.template",
        "prompt.variables",
        "llm.generated_message",
        "retrieval.query",
        "retrieval.documents",
        # Google ADK, Laminar, Genkit, OpenRouter, VoltAgent, Claude Code.
        "gcp.vertex.agent.llm_request",
        "gcp.vertex.agent.llm_response",
        "gcp.vertex.agent.tool_call_args",
        "gcp.vertex.agent.tool_response",
        "gcp.vertex.agent.data",
        "lmnr.span.input",
        "lmnr.span.output",
        "genkit:input",
        "genkit:output",
        "trace.input",
        "trace.output",
        "span.input",
        "span.output",
        "agent.messages",
        "llm.messages",
        "user_prompt",
        "system_prompt",
        "tool_input",
        "tool_output",
    }
)

#: Keys with more after them: flattened messages, documents and tools, LiteLLM's raw calls, LiveKit.
_PREFIXES = (
    r"gen_ai\.(prompt|completion)\.(\d|variable\.)|gen_ai\.tool\.\d|"
    r"llm\.(input_messages|output_messages|prompts|completions|choices|tools|request\.functions)\.|"
    r"llm\.\w+\.(messages|prompt|input|output|content|choices|system|tools|candidates|contents)$|"
    r"(retrieval\.documents|embedding\.embeddings|reranker\.(input|output)_documents|db\.query\.result)\.|"
    r"lk\.(user_|input_|chat_ctx|response\.text|instructions|function_tool\.(arguments|output))|"
    r"ai\.(prompt|toolCall\.args|toolCall\.result)\."
)

#: Attributes of messages in span events and log records.
_EVENT_KEYS = ("content", "message", "tool_calls", "arguments", "response")

#: What a span's own columns may take from content: names and ids, or a list of them, and no prose.
_NAME = r'^([\w.:/@"\[\]-]|, ?){0,200}$'


def is_content(key: str) -> str:
    """SQL: whether the attribute `key` holds content."""
    return f"({key} IN ({literals(sorted(CONTENT_KEYS))}) OR match({key}, {literal('^(' + _PREFIXES + ')')}))"


def is_conversation(event: str) -> str:
    """SQL: whether an event of this name tells what was said."""
    return f"match({event}, '^(gen_ai|llm|ai)\\\\.')"


def without_content(attributes: str, event: str = "") -> str:
    """SQL of a map without its content; `event` is the name of the event that it belongs to."""
    dropped = is_content("k")
    if event:
        dropped += f" OR k IN ({literals(_EVENT_KEYS)}) AND {is_conversation(event)}"
    return f"mapFilter((k, v) -> NOT ({dropped}), {attributes})"


def without_texts(source: str) -> str:
    """`source`, a SELECT of spans with their texts, without content: not in the text columns, the map, nor in
    what other columns take from it.
    """
    empty = [f"'' AS text_{column}" for column in TEXT_COLUMNS]
    names = ("ResponseId", "RequestModel", "ResponseModel", "FinishReasons")
    short = [f"if(match(text_{name}, {literal(_NAME)}), text_{name}, '') AS text_{name}" for name in names]
    keep = f"arrayMap((k, b) -> b AND NOT {is_content('k')}, keys, keep) AS keep"
    replaced = ", ".join([*empty, *short, keep])
    return f"SELECT * REPLACE ({replaced}) FROM ({source})"  # noqa: S608, names of ours
