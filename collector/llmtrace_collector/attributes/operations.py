"""What a span does, in the words of each dialect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llmtrace import semconv

#: Operations that call a model and therefore carry usage of their own.
LLM_OPERATIONS = (
    "chat",
    "text_completion",
    "generate_content",
    "embeddings",
    "rerank",
    # Ours: a model that writes no text, as a classifier or a regression.
    semconv.PREDICT_OPERATION,
)

#: Operations that work for a call but have no usage of their own.
_OTHER_OPERATIONS = (
    "execute_tool",
    "retrieval",
    "invoke_agent",
    "create_agent",
    "invoke_workflow",
    # Ours: what stood in for an answer, and what a circuit breaker did.
    "degraded",
    "circuit_breaker",
    # A person's decision before an act, and that one was asked for it.
    semconv.APPROVAL_OPERATION,
    semconv.APPROVAL_REQUEST_OPERATION,
)

#: Operations by which steps are told apart.
STEP_OPERATIONS = (*LLM_OPERATIONS, *_OTHER_OPERATIONS)

#: Steps that are named after a model.
MODEL_STEPS = LLM_OPERATIONS

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
            # Semantic Kernel.
            "chat.completions": "chat",
            "chat.streaming_completions": "chat",
            "text.completions": "text_completion",
            "text.streaming_completions": "text_completion",
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
