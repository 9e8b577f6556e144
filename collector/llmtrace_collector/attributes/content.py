"""Which attributes hold content: what people and models said, and what tools were asked and answered."""

from __future__ import annotations

from llmtrace import semconv

from .field import key_of
from .fields import TEXTS
from .messages import EVENT_CONTENT, EVENT_MESSAGES

#: Whole keys beside those that fill the text columns.
CONTENT_KEYS = frozenset(
    {
        *(key_of(source) for text in TEXTS for source in text.sources),
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
        semconv.APPROVAL_REASON,
        semconv.APPROVAL_ARGUMENTS,
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
PREFIXES = (
    r"gen_ai\.(prompt|completion)\.(\d|variable\.)|gen_ai\.tool\.\d|"
    r"llm\.(input_messages|output_messages|prompts|completions|choices|tools|request\.functions)\.|"
    r"llm\.\w+\.(messages|prompt|input|output|content|choices|system|tools|candidates|contents)$|"
    r"(retrieval\.documents|embedding\.embeddings|reranker\.(input|output)_documents|db\.query\.result)\.|"
    r"lk\.(user_|input_|chat_ctx|response\.text|instructions|function_tool\.(arguments|output))|"
    r"ai\.(prompt|toolCall\.args|toolCall\.result)\."
)

#: Attributes of messages in span events and log records.
EVENT_KEYS = ("content", "message", "tool_calls", "arguments", "response")

#: What a span's own columns may take from content: names and ids, or a list of them, and no prose.
NAME = r'^([\w.:/@"\[\]-]|, ?){0,200}$'
