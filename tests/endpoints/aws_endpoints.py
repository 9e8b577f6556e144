"""Amazon Bedrock and SageMaker."""

from __future__ import annotations

from typing import Final

from .endpoint import Endpoint
from .replayed import recorded, replayed, sampled

_ESTIMATED: Final = "no tokens are told: estimated from question and answer, without what was retrieved"
_CONVERSE: Final = "bedrock:genai_bedrock/test_converse_no_content#0"
_BEDROCK: Final = "Amazon Bedrock"

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "Converse",
        _BEDROCK,
        recorded(_CONVERSE),
        ("chat",),
        {"InputTokens": 5, "OutputTokens": 10},
        "listed",
        streams=True,
        source="recorded",
        recording=_CONVERSE,
    ),
    Endpoint(
        "InvokeModel",
        _BEDROCK,
        replayed(
            "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/invoke",
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "Hi"}],
            },
            {
                "id": "msg_1",
                "type": "message",
                "model": "claude-3-5-sonnet-20240620",
                "content": [{"type": "text", "text": "Hi"}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 12, "output_tokens": 5},
            },
        ),
        ("chat",),
        {"InputTokens": 12, "OutputTokens": 5},
        "listed",
        streams=True,
        remark="of Anthropic, Nova, Llama, Titan, Mistral, Cohere, OpenAI",
    ),
    Endpoint(
        "InvokeAgent, InvokeInlineAgent, with traces",
        _BEDROCK,
        sampled("bedrock agent with traces"),
        ("chat", "chat", "invoke_agent"),
        {"InputTokens": 300, "OutputTokens": 30},
        "listed",
        source="client",
        remark="an event stream; each invocation of a model is a call below the agent's",
    ),
    Endpoint(
        "InvokeAgent, InvokeInlineAgent, without traces",
        _BEDROCK,
        sampled("bedrock agent that answers in JSON"),
        ("chat", "invoke_agent"),
        {},
        "unpriced",
        source="client",
        remark="neither models nor tokens are told: one call of unknown usage; set `enableTrace`",
    ),
    Endpoint(
        "InvokeFlow",
        _BEDROCK,
        sampled("bedrock flow"),
        ("chat", "invoke_workflow"),
        {"InputTokens": 3, "OutputTokens": 2},
        "unpriced",
        remark="with `enableTrace`; without it no model is told, and none is counted",
    ),
    Endpoint(
        "RetrieveAndGenerate",
        _BEDROCK,
        sampled("bedrock answers from a knowledge base", "bedrock answers from a knowledge base, streamed"),
        ("chat",),
        {"InputTokens": 8, "OutputTokens": 1},
        "listed",
        streams=True,
        source="client",
        remark=_ESTIMATED,
    ),
    Endpoint(
        "Retrieve",
        _BEDROCK,
        replayed(
            "/knowledgebases/KB12345678/retrieve",
            {"retrievalQuery": {"text": "which?"}},
            {"retrievalResults": [{"content": {"text": "b"}, "score": 0.5}]},
        ),
        ("retrieval",),
        source="client",
        remark="a search: what it asks of an embedding model is not told",
    ),
    Endpoint(
        "Rerank",
        _BEDROCK,
        sampled("bedrock ranks"),
        ("rerank",),
        {"RerankSearches": 1},
        "unpriced",
        source="client",
        remark="a query with up to a hundred documents is one search",
    ),
    Endpoint(
        "ApplyGuardrail",
        _BEDROCK,
        sampled("bedrock applies a guardrail"),
        ("predict",),
        {},
        "unpriced",
        source="client",
        remark="billed by the unit of text and policy, which the span has",
    ),
    Endpoint(
        "InvokeEndpoint: chat",
        "Amazon SageMaker",
        sampled("sagemaker endpoint of chat"),
        ("chat",),
        {"InputTokens": 5, "OutputTokens": 2},
        "unpriced",
        source="client",
        remark="by the hour: a fixed line pays it; streams too",
    ),
    Endpoint(
        "InvokeEndpoint: text generation",
        "Amazon SageMaker",
        sampled("sagemaker endpoint of text generation"),
        ("text_completion",),
        {"InputTokens": 8, "OutputTokens": 5},
        "unpriced",
        remark="by the hour; what is not told is estimated",
    ),
    Endpoint(
        "InvokeEndpoint: anything else in JSON",
        "Amazon SageMaker",
        sampled("sagemaker endpoint of anything"),
        ("predict",),
        {},
        "unpriced",
        remark="by the hour",
    ),
)
