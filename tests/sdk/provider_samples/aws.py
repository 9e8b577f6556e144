"""Exchanges of Bedrock's agents, flows, knowledge bases and guardrails, and of SageMaker's endpoints."""

from __future__ import annotations

import base64
from typing import Any

from tests.sdk.wire_samples import Sample, estimated

from .shared import NO_TOKENS

_HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
_SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"


def _text(words: str) -> Any:
    """A piece of an agent's answer, as its event has it."""
    return {"chunk": {"bytes": base64.b64encode(words.encode()).decode()}}


def _trace(step: str, trace_id: str, tokens: tuple[int, int] | None, model: str = "") -> Any:
    """A trace of a model that was invoked, before it or (with its tokens) after."""
    inner: dict[str, Any]
    if tokens is None:
        inner = {"modelInvocationInput": {"traceId": trace_id, "foundationModel": model, "text": "{}"}}
    else:
        usage = {"inputTokens": tokens[0], "outputTokens": tokens[1]}
        inner = {"modelInvocationOutput": {"traceId": trace_id, "metadata": {"usage": usage}}}
    return {"trace": {"agentId": "A1", "sessionId": "s1", "trace": {step: inner}}}


AGENT_EVENTS: list[Any] = [
    _trace("preProcessingTrace", "t-pre", None, _HAIKU),
    _trace("preProcessingTrace", "t-pre", (100, 10)),
    _trace("orchestrationTrace", "t-1", None, _SONNET),
    {"trace": {"agentId": "A1", "trace": {"orchestrationTrace": {"rationale": {"text": "hm"}}}}},
    _trace("orchestrationTrace", "t-1", (200, 20)),
    _trace("orchestrationTrace", "t-1", (200, 20)),
    _text("Hel"),
    _text("lo"),
]
AGENT = {"inputText": "hi", "enableTrace": True}
AGENT_PATH = "/agents/A1/agentAliases/L1/sessions/s1/text"
_MODEL_ARN = f"arn:aws:bedrock:us-east-1::foundation-model/{_HAIKU}"
RAG: dict[str, Any] = {
    "input": {"text": "hi"},
    "retrieveAndGenerateConfiguration": {
        "type": "KNOWLEDGE_BASE",
        "knowledgeBaseConfiguration": {"knowledgeBaseId": "KB12345678", "modelArn": _MODEL_ARN},
    },
}
_REFERENCE = {"content": {"text": "b"}, "location": {"type": "S3", "s3Location": {"uri": "s3://b/1"}}}
_CITATION = {
    "generatedResponsePart": {"textResponsePart": {"text": "Hello"}},
    "retrievedReferences": [_REFERENCE],
}
RAG_ANSWER = {"output": {"text": "Hello"}, "citations": [_CITATION], "sessionId": "s1"}
RAG_EVENTS: list[Any] = [
    {"output": {"text": "Hel"}},
    {"output": {"text": "lo"}},
    {"citation": {"citation": _CITATION}},
    {"guardrail": {"action": "NONE"}},
]
_RERANK_ARN = "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0"
_SAGEMAKER = {"inputs": "hi", "parameters": {"max_new_tokens": 5}}

SAMPLES: list[Sample] = [
    Sample(
        "sagemaker endpoint of text generation",
        "/endpoints/my-endpoint/invocations",
        _SAGEMAKER,
        [
            {
                "generated_text": "Hello",
                "details": {"finish_reason": "length", "generated_tokens": 5, "prefill": []},
            }
        ],
        "text_completion",
        "aws.sagemaker",
        ["length"],
        {"output_tokens": 5, **estimated(input=8)},
        [("text", "Hello")],
        model="my-endpoint",
        framing="json",
    ),
    Sample(
        "sagemaker endpoint of chat",
        "/endpoints/my-endpoint/invocations",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
        {
            "id": "c1",
            "model": "lmi",
            "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        },
        "chat",
        "aws.sagemaker",
        ["stop"],
        {"input_tokens": 5, "output_tokens": 2},
        [("text", "Hello")],
        model="my-endpoint",
    ),
    Sample(
        "sagemaker endpoint of anything",
        "/endpoints/my-endpoint/invocations",
        {"instances": [[1, 2]]},
        {"predictions": [[0.5]]},
        "predict",
        "aws.sagemaker",
        None,
        NO_TOKENS,
        [],
        model="my-endpoint",
    ),
    Sample(
        "bedrock agent with traces",
        AGENT_PATH,
        AGENT,
        AGENT_EVENTS,
        "invoke_agent",
        "aws.bedrock",
        ["stop"],
        {},
        [("text", "Hello")],
        model=None,
        framing="aws",
        inner=[
            ("agent_model", _HAIKU, {"input_tokens": 100, "output_tokens": 10}),
            ("agent_model", _SONNET, {"input_tokens": 200, "output_tokens": 20}),
        ],
        more={"gen_ai.agent.id": "A1", "gen_ai.conversation.id": "s1"},
    ),
    Sample(
        "bedrock agent that answers in JSON",
        AGENT_PATH,
        AGENT,
        [_text('{"a": 1}')],
        "invoke_agent",
        "aws.bedrock",
        ["stop"],
        {},
        [("text", '{"a": 1}')],
        model=None,
        framing="aws",
        inner=[("untraced", None, {})],
    ),
    Sample(
        "bedrock agent that asks for a call and then fails",
        AGENT_PATH,
        AGENT,
        [
            {
                "returnControl": {
                    "invocationId": "i1",
                    "invocationInputs": [
                        {
                            "functionInvocationInput": {
                                "function": "f",
                                "parameters": [{"name": "a", "type": "integer", "value": "1"}],
                            }
                        },
                        {"apiInvocationInput": {"httpMethod": "GET", "apiPath": "/x", "parameters": []}},
                    ],
                }
            },
            {"throttlingException": {"message": "slow"}},
        ],
        "invoke_agent",
        "aws.bedrock",
        ["error"],
        {},
        [("tool_call", {"a": "1"}), ("tool_call", {})],
        model=None,
        framing="aws",
        inner=[("untraced", None, {})],
        more={"error.type": "throttlingException"},
    ),
    Sample(
        "bedrock inline agent",
        "/agents/s1",
        {"foundationModel": "m", "instruction": "be kind", "inputText": "hi", "agentName": "helper"},
        [_text("Hello")],
        "invoke_agent",
        "aws.bedrock",
        ["stop"],
        {},
        [("text", "Hello")],
        framing="aws",
        inner=[("untraced", None, {})],
        more={"gen_ai.agent.name": "helper", "gen_ai.conversation.id": "s1"},
    ),
    Sample(
        "bedrock flow",
        "/flows/F1/aliases/L1",
        {"inputs": [{"nodeName": "in", "content": {"document": "hi"}}], "enableTrace": True},
        [
            {
                "flowTraceEvent": {
                    "trace": {
                        "nodeActionTrace": {
                            "operationName": "Converse",
                            "operationRequest": {"modelId": "m"},
                            "operationResponse": {"usage": {"inputTokens": 3, "outputTokens": 2}},
                        }
                    }
                }
            },
            {"flowOutputEvent": {"nodeName": "out", "content": {"document": "Hello"}}},
            {"flowCompletionEvent": {"completionReason": "SUCCESS"}},
        ],
        "invoke_workflow",
        "aws.bedrock",
        ["stop"],
        {},
        [("text", "Hello")],
        model=None,
        framing="aws",
        inner=[("agent_model", "m", {"input_tokens": 3, "output_tokens": 2})],
        more={"gen_ai.agent.id": "F1"},
    ),
    Sample(
        "bedrock answers from a knowledge base",
        "/retrieveAndGenerate",
        RAG,
        RAG_ANSWER,
        "chat",
        "aws.bedrock",
        ["stop"],
        estimated(input=8, output=1),
        [("text", "Hello")],
        model=_HAIKU,
        more={
            "gen_ai.data_source.id": "KB12345678",
            "gen_ai.conversation.id": "s1",
            "gen_ai.retrieval.documents": '[{"id":"s3://b/1","score":null,"content":"b"}]',
        },
    ),
    Sample(
        "bedrock answers from a knowledge base, streamed",
        "/retrieveAndGenerateStream",
        RAG,
        RAG_EVENTS,
        "chat",
        "aws.bedrock",
        ["stop"],
        estimated(input=8, output=1),
        [("text", "Hello")],
        model=_HAIKU,
        framing="aws",
    ),
    Sample(
        "bedrock applies a guardrail",
        "/guardrail/gr1/version/1/apply",
        {"source": "OUTPUT", "content": [{"text": {"text": "hi"}}]},
        {
            "usage": {"topicPolicyUnits": 1, "contentPolicyUnits": 2, "wordPolicyUnits": 9},
            "action": "GUARDRAIL_INTERVENED",
            "outputs": [{"text": "no"}],
        },
        "predict",
        "aws.bedrock",
        ["content_filter"],
        {**NO_TOKENS, "guardrail_units": 3},
        [("text", "no")],
        model="gr1",
    ),
    Sample(
        "bedrock ranks",
        "/rerank",
        {
            "queries": [{"type": "TEXT", "textQuery": {"text": "which?"}}],
            "sources": [
                {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": "a"}}}
            ],
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "numberOfResults": 1,
                    "modelConfiguration": {"modelArn": _RERANK_ARN},
                },
            },
        },
        {"results": [{"index": 0, "relevanceScore": 0.5, "document": {"textDocument": {"text": "a"}}}]},
        "rerank",
        "aws.bedrock",
        None,
        {"rerank_searches": 1},
        [],
        model="cohere.rerank-v3-5:0",
        more={"gen_ai.retrieval.query.text": "which?", "gen_ai.retrieval.top_k": 1},
    ),
]
