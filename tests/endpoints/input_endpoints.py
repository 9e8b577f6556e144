"""Embeddings, ranking, pictures: what is billed by the input, or by the piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .endpoint import Endpoint, Price
from .replayed import recorded, replayed, sampled

_TOKENS: Final = {"InputTokens": 12}


def _embeddings(
    title: str,
    provider: str,
    model: str,
    price: Price = "listed",
    usage: Mapping[str, Any] | None = None,
    path: str = "/v1/embeddings",
) -> Endpoint:
    """A provider of OpenAI's embeddings."""
    answer = {
        "object": "list",
        "model": model,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        "usage": usage or {"prompt_tokens": 12, "total_tokens": 12},
    }
    sent = {"model": model, "input": ["Hi"]}
    send = replayed(path, sent, answer, provider=provider)
    return Endpoint("embeddings", title, send, ("embeddings",), _TOKENS, price)


def _rerank(
    title: str, provider: str, model: str, answer: Mapping[str, Any], price: Price, **usage: int
) -> Endpoint:
    """A provider of Cohere's ranking."""
    sent = {"model": model, "query": "which?", "documents": ["a", "b"]}
    results = {"results": [{"index": 1, "relevance_score": 0.5}], **answer}
    send = replayed("/v1/rerank", sent, results, provider=provider)
    return Endpoint("ranking", title, send, ("rerank",), usage, price)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "embeddings",
        "OpenAI",
        recorded("openai:genai_openai/embedding_conformance#0"),
        ("embeddings",),
        {"InputTokens": 7},
        "listed",
        source="recorded",
        recording="openai:genai_openai/embedding_conformance#0",
    ),
    Endpoint(
        "embeddings",
        "Gemini API",
        recorded("google:google_genai/embedding_conformance#0"),
        ("embeddings",),
        {"InputTokens": 9},
        "listed",
        source="recorded",
        recording="google:google_genai/embedding_conformance#0",
    ),
    Endpoint(
        "embeddings",
        "Vertex AI",
        replayed(
            "/v1/projects/p/locations/l/publishers/google/models/gemini-embedding-001:predict",
            {"instances": [{"content": "Hi"}]},
            {"predictions": [{"embeddings": {"values": [0.1], "statistics": {"token_count": 12}}}]},
        ),
        ("embeddings",),
        _TOKENS,
        "listed",
    ),
    _embeddings("Mistral", "mistral_ai", "mistral-embed"),
    _embeddings("Voyage", "voyageai", "voyage-3.5", usage={"total_tokens": 12}),
    _embeddings("Jina", "jina", "jina-embeddings-v3", "unpriced", {"total_tokens": 12}),
    _embeddings(
        "Azure AI inference", "azure.ai.inference", "text-embedding-3-small", path="/models/embeddings"
    ),
    _embeddings("vLLM", "vllm", "intfloat/e5-mistral-7b-instruct", "unpriced"),
    Endpoint(
        "embeddings",
        "Cohere",
        replayed(
            "/v2/embed",
            {"model": "embed-v4.0", "texts": ["Hi"], "input_type": "search_query"},
            {"id": "e", "embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 12}}},
        ),
        ("embeddings",),
        _TOKENS,
        "listed",
        remark="v1 and v2",
    ),
    Endpoint(
        "embeddings",
        "Amazon Bedrock",
        replayed(
            "/model/amazon.titan-embed-text-v2%3A0/invoke",
            {"inputText": "Hi"},
            {"embedding": [0.1, 0.2], "inputTextTokenCount": 12},
        ),
        ("embeddings",),
        _TOKENS,
        "listed",
    ),
    Endpoint(
        "embeddings of several media, of chunks",
        "Voyage",
        sampled("voyage's multimodal embeddings", model="voyage-multimodal-3", provider="voyageai"),
        ("embeddings",),
        {"InputTokens": 3},
        "unpriced",
    ),
    Endpoint(
        "pooling",
        "vLLM",
        sampled("pooling of vllm", provider="vllm"),
        ("embeddings",),
        {"InputTokens": 2},
        "unpriced",
    ),
    Endpoint(
        "embeddings", "Ollama", sampled("ollama embeddings"), ("embeddings",), {"InputTokens": 6}, "unpriced"
    ),
    _rerank(
        "Cohere",
        "cohere",
        "rerank-v3.5",
        {"meta": {"billed_units": {"search_units": 1}}},
        "unpriced",
        RerankSearches=1,
    ),
    _rerank("Voyage", "voyageai", "rerank-2.5", {"usage": {"total_tokens": 12}}, "unpriced", InputTokens=12),
    _rerank("Jina", "jina", "jina-reranker-v2", {"usage": {"total_tokens": 12}}, "unpriced", InputTokens=12),
    _rerank(
        "Together",
        "together_ai",
        "Salesforce/Llama-Rank-V1",
        {"usage": {"prompt_tokens": 12}},
        "unpriced",
        InputTokens=12,
    ),
    _rerank(
        "vLLM", "vllm", "BAAI/bge-reranker-v2-m3", {"usage": {"total_tokens": 12}}, "unpriced", InputTokens=12
    ),
    Endpoint(
        "scores",
        "vLLM, SGLang",
        sampled("score of vllm", provider="vllm"),
        ("rerank",),
        {"InputTokens": 6},
        "unpriced",
    ),
    Endpoint(
        "image generation",
        "OpenAI",
        replayed(
            "/v1/images/generations",
            {"model": "gpt-image-1", "prompt": "a cat"},
            {
                "data": [{"b64_json": "QUJD"}],
                "usage": {
                    "input_tokens": 12,
                    "output_tokens": 272,
                    "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
                },
            },
            [
                {"type": "image_generation.partial_image", "b64_json": "QQ=="},
                {
                    "type": "image_generation.completed",
                    "b64_json": "QUJD",
                    "usage": {"input_tokens": 12, "output_tokens": 272},
                },
            ],
        ),
        ("generate_content",),
        {"InputTokens": 12, "OutputTokens": 272},
        "listed",
        streams=True,
    ),
    Endpoint(
        "image generation (Imagen)",
        "Vertex AI, Gemini API",
        sampled("a picture of imagen"),
        ("generate_content",),
        {},
        "unpriced",
        remark="billed by the picture",
    ),
)
