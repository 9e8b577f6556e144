"""What is asked over gRPC, of servers of gRPC."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import grpc
from google.protobuf import json_format

from tests.grpc_messages import (
    GEMINI,
    MILVUS,
    OTHER,
    PINECONE,
    QDRANT,
    TENSORFLOW,
    TRITON,
    VERTEX,
    WEAVIATE,
    XAI,
    Messages,
)
from tests.grpc_services import Method, serving

from .endpoint import Endpoint

_VERTEX: Final = "google.cloud.aiplatform.v1.PredictionService/"
_GEMINI: Final = "google.ai.generativelanguage.v1beta.GenerativeService/"
_PUBLISHED: Final = "projects/p/locations/us-central1/publishers"
_CONTENTS: Final = [{"role": "user", "parts": [{"text": "Hello"}]}]
_GENERATED: Final = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 12, "candidatesTokenCount": 5, "totalTokenCount": 17,
        "cachedContentTokenCount": 4,
    },
    "modelVersion": "gemini-2.5-flash",
}  # fmt: skip
_GENERATION_USAGE: Final = {"InputTokens": 12, "OutputTokens": 5, "CacheReadTokens": 4}
_XAI_USAGE: Final = {
    "promptTokens": 12, "completionTokens": 5, "reasoningTokens": 7, "totalTokens": 24,
    "cachedPromptTextTokens": 4,
}  # fmt: skip
_XAI_COUNTS: Final = {"InputTokens": 12, "OutputTokens": 12, "ReasoningTokens": 7, "CacheReadTokens": 4}
_CLAUDE: Final = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
    "usage": {"input_tokens": 12, "output_tokens": 5},
}  # fmt: skip
_OWN: Final = "no cost by the call: the machine is paid anyway"


def _called(
    messages: Messages,
    path: str,
    kinds: tuple[str, str],
    sent: Mapping[str, Any],
    answer: Mapping[str, Any],
    streamed: tuple[str, str, Sequence[Mapping[str, Any]]] | None = None,
) -> Callable[[bool], None]:
    """A call of a method, in protobuf's JSON.

    kinds: names of what is sent and answered. streamed: path, kind and answers of the method that streams.
    """
    asked = getattr(messages, kinds[0])

    def send(stream: bool) -> None:
        name, kind, answers = streamed if stream and streamed is not None else (path, kinds[1], [answer])
        answered = getattr(messages, kind)
        parsed = [json_format.ParseDict(dict(item), answered()) for item in answers]
        method = Method(asked, answered, lambda *_: iter(parsed) if stream else parsed[0], streams=stream)
        with serving({f"/{name}": method}) as service, grpc.insecure_channel(service.target) as channel:
            result = service.stub(channel, f"/{name}")(json_format.ParseDict(dict(sent), asked()))
            if stream:
                list(result)

    return send


def _generated(messages: Messages, service: str, model: str) -> Callable[[bool], None]:
    piece = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}}]}
    return _called(
        messages,
        f"{service}GenerateContent",
        ("GenerateContentRequest", "GenerateContentResponse"),
        {"model": model, "contents": _CONTENTS},
        _GENERATED,
        (f"{service}StreamGenerateContent", "GenerateContentResponse", [piece, _GENERATED]),
    )


def _http_body(body: Any) -> dict[str, Any]:
    text = json.dumps(body).encode()
    message = VERTEX.HttpBody(content_type="application/json", data=text)
    return dict(json_format.MessageToDict(message))


def _xai(usage: Mapping[str, Any]) -> Callable[[bool], None]:
    output = {"finishReason": "REASON_STOP", "message": {"role": "ROLE_ASSISTANT", "content": "Hi"}}
    chunk = {"finishReason": "REASON_STOP", "delta": {"role": "ROLE_ASSISTANT", "content": "Hi"}}
    head = {"id": "r-1", "model": "grok-4-0709", "usage": usage}
    return _called(
        XAI,
        "xai_api.Chat/GetCompletion",
        ("GetCompletionsRequest", "GetChatCompletionResponse"),
        {"model": "grok-4", "messages": [{"role": "ROLE_USER", "content": [{"text": "Hello"}]}]},
        {**head, "outputs": [output]},
        ("xai_api.Chat/GetCompletionChunk", "GetChatCompletionChunk", [{**head, "outputs": [chunk]}]),
    )


def _inferred(stream: bool) -> None:
    """Triton's stream has a stream of requests too."""
    name = "ModelStreamInfer" if stream else "ModelInfer"
    response = TRITON.ModelInferResponse(model_name="resnet", model_version="1")
    asked = TRITON.ModelInferRequest(model_name="resnet")
    streamed = TRITON.ModelStreamInferResponse(infer_response=response)
    method = (
        Method(
            TRITON.ModelInferRequest,
            type(streamed),
            lambda requests, _: (streamed for _ in requests),
            True,
            True,
        )
        if stream
        else Method(TRITON.ModelInferRequest, type(response), lambda *_: response)
    )
    path = f"/inference.GRPCInferenceService/{name}"
    with serving({path: method}) as service, grpc.insecure_channel(service.target) as channel:
        if stream:
            list(service.stub(channel, path)(iter([asked])))
        else:
            service.stub(channel, path)(asked)


_SEARCHES: Final = tuple(
    Endpoint("searches over gRPC", provider, send, ("retrieval",), source="client", remark=remark)
    for provider, send, remark in (
        (
            "Qdrant",
            _called(
                QDRANT,
                "qdrant.Points/Query",
                ("QueryPoints", "QueryResponse"),
                {"collectionName": "docs", "limit": 3},
                {"result": [{"id": {"num": 7}, "score": 0.5}]},
            ),
            "",
        ),
        (
            "Pinecone",
            _called(
                PINECONE,
                "VectorService/Query",
                ("QueryRequest", "QueryResponse"),
                {"topK": 3, "vector": [0.5]},
                {"matches": [{"id": "a", "score": 0.5}]},
            ),
            "where its client uses `grpc`: version 10 brings network code of its own",
        ),
        (
            "Milvus",
            _called(
                MILVUS,
                "milvus.proto.milvus.MilvusService/Search",
                ("SearchRequest", "SearchResults"),
                {"collectionName": "docs", "searchParams": [{"key": "topk", "value": "3"}]},
                {"results": {"scores": [0.5], "ids": {"intId": {"data": [7]}}}},
            ),
            "",
        ),
        (
            "Weaviate",
            _called(
                WEAVIATE,
                "weaviate.v1.Weaviate/Search",
                ("SearchRequest", "SearchReply"),
                {"collection": "Doc", "limit": 3, "nearText": {"query": ["cats"]}},
                {"results": [{"metadata": {"id": "u-1", "distance": 0.5, "distancePresent": True}}]},
            ),
            "",
        ),
    )
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "generate content over gRPC",
        "Vertex AI",
        _generated(VERTEX, _VERTEX, f"{_PUBLISHED}/google/models/gemini-2.5-flash"),
        ("generate_content",),
        _GENERATION_USAGE,
        "listed",
        streams=True,
        source="client",
        remark="`google-cloud-aiplatform`",
    ),
    Endpoint(
        "generate content over gRPC",
        "Gemini",
        _generated(GEMINI, _GEMINI, "models/gemini-2.5-flash"),
        ("generate_content",),
        _GENERATION_USAGE,
        "listed",
        streams=True,
        source="client",
        remark="`google-generativeai`, `google-ai-generativelanguage`",
    ),
    Endpoint(
        "other publishers' models over gRPC (RawPredict)",
        "Vertex AI",
        _called(
            VERTEX,
            f"{_VERTEX}RawPredict",
            ("RawPredictRequest", "HttpBody"),
            {
                "endpoint": f"{_PUBLISHED}/anthropic/models/claude-sonnet-4-5",
                "httpBody": _http_body(
                    {
                        "anthropic_version": "vertex-2023-10-16",
                        "max_tokens": 9,
                        "messages": [{"role": "user", "content": "Hi"}],
                    }
                ),
            },
            _http_body(_CLAUDE),
        ),
        ("chat",),
        {"InputTokens": 12, "OutputTokens": 5},
        "listed",
        source="client",
    ),
    Endpoint(
        "embeddings over gRPC (EmbedContent)",
        "Gemini",
        _called(
            GEMINI,
            f"{_GEMINI}EmbedContent",
            ("EmbedContentRequest", "EmbedContentResponse"),
            {"model": "models/text-embedding-004", "content": {"parts": [{"text": "Hello"}]}},
            {"embedding": {"values": [0.5] * 96}},
        ),
        ("embeddings",),
        {},
        "unpriced",
        source="client",
        remark="the answer counts no tokens",
    ),
    Endpoint(
        "embeddings over gRPC (Predict)",
        "Vertex AI",
        _called(
            VERTEX,
            f"{_VERTEX}Predict",
            ("PredictRequest", "PredictResponse"),
            {
                "endpoint": f"{_PUBLISHED}/google/models/gemini-embedding-001",
                "instances": [{"content": "Hello"}],
            },
            {"predictions": [{"embeddings": {"statistics": {"token_count": 7}, "values": [0.5]}}]},
        ),
        ("embeddings",),
        {"InputTokens": 7},
        "listed",
        source="client",
    ),
    Endpoint(
        "predict over gRPC",
        "Vertex AI",
        _called(
            VERTEX,
            f"{_VERTEX}Predict",
            ("PredictRequest", "PredictResponse"),
            {"endpoint": "projects/p/locations/us-central1/endpoints/1234", "instances": [{"x": 1}]},
            {"predictions": [0.5]},
        ),
        ("predict",),
        {},
        "reserved",
        source="client",
        remark=_OWN,
    ),
    Endpoint(
        "chat over gRPC",
        "xAI",
        _xai(_XAI_USAGE),
        ("chat",),
        _XAI_COUNTS,
        "listed",
        streams=True,
        source="client",
        remark="`xai-sdk`",
    ),
    Endpoint(
        "chat over gRPC, with its cost",
        "xAI",
        _xai({**_XAI_USAGE, "costInUsdTicks": "123456"}),
        ("chat",),
        _XAI_COUNTS,
        "stated",
        streams=True,
        source="client",
    ),
    Endpoint(
        "infer over gRPC",
        "Triton, KServe v2",
        _inferred,
        ("predict",),
        {},
        "reserved",
        streams=True,
        source="client",
        remark=_OWN,
    ),
    Endpoint(
        "predict, classify, regress over gRPC",
        "TensorFlow Serving",
        _called(
            TENSORFLOW,
            "tensorflow.serving.PredictionService/Predict",
            ("PredictRequest", "PredictResponse"),
            {"modelSpec": {"name": "half_plus_two", "version": "3"}},
            {"modelSpec": {"name": "half_plus_two", "version": "3"}},
        ),
        ("predict",),
        {},
        "reserved",
        remark=_OWN,
    ),
    Endpoint(
        "any other method over gRPC",
        "any",
        _called(
            OTHER,
            "example.Models/Tell",
            ("Asked", "Answered"),
            {"model": "m-1", "text": "Hello"},
            {"usage": {"inputTokens": "3", "outputTokens": "2"}},
        ),
        ("generate_content",),
        {"InputTokens": 3, "OutputTokens": 2},
        "unpriced",
        source="client",
        remark="where its messages have a model and a usage by name",
    ),
    *_SEARCHES,
    Endpoint(
        "batches, videos, deferred images over gRPC",
        "xAI",
        remark="`BatchMgmt` and `Video` of `xai-sdk`: their answers come in messages of other shapes",
    ),
)
