"""What single providers have: after their references, and run through their own libraries elsewhere."""

from __future__ import annotations

from typing import Final

from tests.sdk.provider_samples.replicate import PREDICTION, STARTING

from .endpoint import Endpoint
from .replayed import in_turn, replayed, sampled

_OWN: Final = "a server of your own: a fixed line pays its machine"
_ESTIMATED: Final = "no tokens are told: estimated from question and answer"
_POLL: Final = "/v1/predictions/p1"

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "chat (v1)",
        "Cohere",
        sampled("cohere v1 chat", "cohere v1 chat stream", model="command-r-plus"),
        ("chat",),
        {"InputTokens": 5, "OutputTokens": 7},
        "listed",
        streams=True,
    ),
    Endpoint(
        "generate, summarize (v1)",
        "Cohere",
        in_turn(
            sampled("cohere v1 generate", model="command"), sampled("cohere v1 summarize", model="command")
        ),
        ("text_completion", "text_completion"),
        {"InputTokens": 10, "OutputTokens": 14},
        "listed",
        remark="streams of generate too",
    ),
    Endpoint(
        "classify (v1)",
        "Cohere",
        sampled("cohere v1 classify"),
        ("predict",),
        {},
        "unpriced",
        remark="billed by the classification, which the span has",
    ),
    Endpoint(
        "classification",
        "vLLM, SGLang, Jina, Mistral",
        sampled("classification of vllm", provider="vllm"),
        ("predict",),
        {"InputTokens": 3},
        "unpriced",
    ),
    Endpoint(
        "reading of documents (`/v1/ocr`)",
        "Mistral",
        sampled("mistral reads a document", model="mistral-ocr-latest"),
        ("predict",),
        {},
        "unpriced",
        remark="billed by the page, which the span has",
    ),
    Endpoint(
        "applications",
        "Writer",
        sampled("a question to an application of writer", "a question to an application of writer, streamed"),
        ("chat",),
        {"InputTokens": 8, "OutputTokens": 1},
        "unpriced",
        streams=True,
        remark=_ESTIMATED,
    ),
    Endpoint(
        "jobs of applications",
        "Writer",
        in_turn(
            sampled("a job of an application of writer, begun"),
            sampled("a job of an application of writer, done"),
            sampled("a job of an application of writer, done"),
        ),
        ("chat", "create_response", "fetch_response"),
        {"OutputTokens": 1},
        "unpriced",
        remark="counts once, however often it is fetched; the output is estimated",
    ),
    Endpoint(
        "graphs, vision, translation",
        "Writer",
        sampled("a question to a graph of writer"),
        ("chat",),
        {"InputTokens": 8, "OutputTokens": 1},
        "unpriced",
        remark=_ESTIMATED,
    ),
    Endpoint(
        "chat",
        "watsonx",
        sampled("watsonx chat", "watsonx chat stream of a deployment"),
        ("chat",),
        {"InputTokens": 5, "OutputTokens": 2},
        "unpriced",
        streams=True,
    ),
    Endpoint(
        "generation",
        "watsonx",
        sampled("watsonx generation", "watsonx generation stream"),
        ("text_completion",),
        {"InputTokens": 1, "OutputTokens": 2},
        "unpriced",
        streams=True,
    ),
    Endpoint(
        "embeddings",
        "watsonx",
        sampled("watsonx embeddings"),
        ("embeddings",),
        {"InputTokens": 4},
        "unpriced",
    ),
    Endpoint("ranking", "watsonx", sampled("watsonx rerank"), ("rerank",), {"InputTokens": 9}, "unpriced"),
    Endpoint(
        "predictions, waited for or polled",
        "Replicate",
        in_turn(
            replayed(
                "/v1/predictions", {"version": "v", "input": {"prompt": "hi"}}, {**STARTING, "id": "p2"}
            ),
            replayed("/v1/predictions/p2", None, {**PREDICTION, "id": "p2"}, method="GET"),
            replayed("/v1/predictions/p2", None, {**PREDICTION, "id": "p2"}, method="GET"),
        ),
        ("create_response", "fetch_response", "generate_content"),
        {"InputTokens": 3, "OutputTokens": 2},
        "unpriced",
        remark="counts once, however often it is fetched; seconds of the machine on the span",
    ),
    Endpoint(
        "predictions, streamed",
        "Replicate",
        in_turn(
            sampled("a prediction of replicate, begun"),
            sampled("a stream of replicate's"),
            replayed(_POLL, None, PREDICTION, method="GET"),
        ),
        ("create_response", "fetch_response", "generate_content"),
        {"OutputTokens": 1},
        "unpriced",
        remark="the stream counts; it tells no tokens: those of the output are estimated",
    ),
    Endpoint(
        "models (`/ai/run/…`)",
        "Cloudflare",
        sampled("workers ai", "workers ai, streamed"),
        ("chat",),
        {"InputTokens": 5, "OutputTokens": 2},
        "unpriced",
        streams=True,
    ),
    Endpoint(
        "predict, classify, regress, explain",
        "TensorFlow Serving, KServe v1",
        sampled("tensorflow serving"),
        ("predict",),
        {},
        "reserved",
        remark=_OWN,
    ),
    Endpoint(
        "infer",
        "Triton, KServe v2",
        sampled("the open inference protocol"),
        ("predict",),
        {},
        "reserved",
        remark=_OWN,
    ),
    Endpoint(
        "generate",
        "Triton",
        sampled("triton generates", "triton generates a stream"),
        ("text_completion",),
        {"InputTokens": 8, "OutputTokens": 1},
        "reserved",
        streams=True,
        remark=f"{_OWN}; tokens are estimated",
    ),
    Endpoint(
        "videos",
        "OpenAI",
        in_turn(
            sampled("a video of openai, begun"),
            sampled("a video of openai, finished"),
            sampled("a video of openai, finished"),
        ),
        ("create_response", "fetch_response", "generate_content"),
        {},
        "unpriced",
        remark="billed by the second, which the span has; counts once, when a poll finds it finished",
    ),
    Endpoint(
        "videos (Veo)",
        "Gemini API, Vertex AI",
        in_turn(
            sampled("a video of veo, begun"),
            sampled("a video of veo, finished"),
            sampled("a video of veo, finished"),
        ),
        ("create_response", "fetch_response", "generate_content"),
        {},
        "unpriced",
        remark="billed by the second, which no answer tells; counts once, when a poll finds it finished",
    ),
)
