"""Cohere v1, SageMaker and Bedrock's agents through their own libraries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import boto3
import cohere
import pytest
from botocore.config import Config

from llmtrace.testing import Answer, Captured, ReplayServer, sse

from .aws_frames import frame
from .provider_samples.aws import AGENT_EVENTS, RAG, RAG_ANSWER, RAG_EVENTS
from .provider_samples.cohere import COHERE_CHAT


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with ReplayServer(Answer()) as server:
        yield server


def _aws(service: str, server: ReplayServer) -> Any:
    return boto3.client(
        service,
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="none",
        config=Config(retries={"max_attempts": 1}),
    )


def _event_stream(*frames: bytes) -> Answer:
    return Answer(headers={"content-type": "application/vnd.amazon.eventstream"}, chunks=frames)


def _framed(events: Sequence[Any]) -> Answer:
    return _event_stream(*(frame(name, payload) for event in events for name, payload in event.items()))


def _used(attributes: dict[str, Any]) -> dict[str, int]:
    return {key.partition("usage.")[2]: value for key, value in attributes.items() if ".usage." in key}


def _attributes(traces: Captured) -> list[dict[str, Any]]:
    return [dict(span["attributes"]) for span in traces.snapshot()]


def _texts(attributes: dict[str, Any]) -> str:
    messages = json.loads(attributes.get("gen_ai.output.messages", "[]"))
    return "".join(part.get("content", "") for message in messages for part in message["parts"])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_cohere_v1_chat(traces: Captured, server: ReplayServer, stream: bool) -> None:
    client: Any = cohere.Client("key", base_url=server.url)
    asked = {"message": "hi", "model": "command-r", "chat_history": [{"role": "USER", "message": "before"}]}
    if stream:
        events = [
            {"is_finished": False, "event_type": "stream-start", "generation_id": "g1"},
            {"is_finished": False, "event_type": "text-generation", "text": "Hel"},
            {"is_finished": False, "event_type": "text-generation", "text": "lo"},
            {
                "is_finished": True,
                "event_type": "stream-end",
                "finish_reason": "COMPLETE",
                "response": COHERE_CHAT,
            },
        ]
        lines = [json.dumps(event).encode() + b"\n" for event in events]
        server.answer_with(Answer(headers={"content-type": "application/stream+json"}, chunks=lines))
        assert len(list(client.chat_stream(**asked))) == 4
    else:
        server.answer_with(Answer.json(COHERE_CHAT))
        assert client.chat(**asked).text == "Hello"
    (attributes,) = _attributes(traces)
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "cohere"
    assert attributes["gen_ai.request.model"] == "command-r"
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert attributes.get("gen_ai.request.stream", False) == stream
    assert _used(attributes) == {"input_tokens": 5, "output_tokens": 7}
    assert _texts(attributes) == "Hello"
    assert [message["role"] for message in json.loads(attributes["gen_ai.input.messages"])] == [
        "user",
        "user",
    ]


def test_the_rest_of_cohere_v1(traces: Captured, server: ReplayServer) -> None:
    client: Any = cohere.Client("key", base_url=server.url)
    tokens = {"billed_units": {"input_tokens": 5, "output_tokens": 7}}
    answers = [
        {"id": "1", "prompt": "hi", "generations": [{"id": "a", "text": "Hello"}], "meta": tokens},
        {"id": "2", "summary": "Hello", "meta": tokens},
        {
            "id": "3",
            "classifications": [
                {
                    "id": "c",
                    "input": "a",
                    "predictions": ["y"],
                    "confidences": [0.5],
                    "labels": {},
                    "classification_type": "single-label",
                }
            ],
            "meta": {"billed_units": {"classifications": 1}},
        },
        {
            "id": "4",
            "response_type": "embeddings_floats",
            "embeddings": [[0.1]],
            "texts": ["a"],
            "meta": {"billed_units": {"input_tokens": 2}},
        },
        {
            "id": "5",
            "results": [{"index": 0, "relevance_score": 0.5}],
            "meta": {"billed_units": {"search_units": 1}},
        },
    ]
    calls: list[Callable[[], Any]] = [
        lambda: client.generate(prompt="hi", model="m"),
        lambda: client.summarize(text="hi", model="m"),
        lambda: client.classify(inputs=["a"], model="m"),
        lambda: client.embed(texts=["a"], model="m", input_type="search_query"),
        lambda: client.rerank(query="which?", documents=["a"], model="m"),
    ]
    for answer, call in zip(answers, calls, strict=True):
        server.answer_with(Answer.json(answer))
        call()
    spans = _attributes(traces)
    assert [(span["gen_ai.operation.name"], _used(span)) for span in spans] == [
        ("text_completion", {"input_tokens": 5, "output_tokens": 7}),
        ("text_completion", {"input_tokens": 5, "output_tokens": 7}),
        ("predict", {"input_tokens": 0, "output_tokens": 0, "classifications": 1}),
        ("embeddings", {"input_tokens": 2}),
        ("rerank", {"rerank_searches": 1}),
    ]
    assert all(span["gen_ai.provider.name"] == "cohere" for span in spans)


def test_sagemaker_endpoint(traces: Captured, server: ReplayServer) -> None:
    client = _aws("sagemaker-runtime", server)
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    asked = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    endpoint = {"EndpointName": "llama", "ContentType": "application/json", "Body": asked}
    server.answer_with(Answer.json({"id": "c", "choices": [choice], "usage": usage}))
    assert b"Hello" in client.invoke_endpoint(**endpoint)["Body"].read()
    chunks = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hel"}}]},
        {
            "id": "c",
            "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}],
            "usage": usage,
        },
    ]
    body = b"".join(sse(chunks).chunks or ())
    pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
    server.answer_with(
        _event_stream(*(frame("PayloadPart", piece, "application/octet-stream") for piece in pieces))
    )
    received = client.invoke_endpoint_with_response_stream(**endpoint)["Body"]
    assert b"".join(event["PayloadPart"]["Bytes"] for event in received) == body
    spans = _attributes(traces)
    for attributes in spans:
        assert attributes["gen_ai.operation.name"] == "chat"
        assert attributes["gen_ai.provider.name"] == "aws.sagemaker"
        assert attributes["gen_ai.request.model"] == "llama"
        assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
        assert _used(attributes) == {"input_tokens": 3, "output_tokens": 2}
        assert _texts(attributes) == "Hello"
    assert [span.get("gen_ai.request.stream", False) for span in spans] == [False, True]
    assert "gen_ai.response.time_to_first_chunk" in spans[1]


def test_bedrock_agent(traces: Captured, server: ReplayServer) -> None:
    client = _aws("bedrock-agent-runtime", server)
    server.answer_with(_framed(AGENT_EVENTS))
    asked = {"agentId": "A1", "agentAliasId": "L1", "sessionId": "s1", "inputText": "hi"}
    events = list(client.invoke_agent(**asked, enableTrace=True)["completion"])
    assert b"".join(event["chunk"]["bytes"] for event in events if "chunk" in event) == b"Hello"
    *inner, outer = _attributes(traces)
    assert outer["gen_ai.operation.name"] == "invoke_agent"
    assert outer["gen_ai.conversation.id"] == "s1"
    assert _used(outer) == {}
    assert _texts(outer) == "Hello"
    assert [(call["gen_ai.operation.name"], _used(call)) for call in inner] == [
        ("chat", {"input_tokens": 100, "output_tokens": 10}),
        ("chat", {"input_tokens": 200, "output_tokens": 20}),
    ]
    assert {call["gen_ai.provider.name"] for call in inner} == {"aws.bedrock"}
    *within, around = traces.spans()
    assert around.context is not None
    assert {span.parent.span_id for span in within if span.parent} == {around.context.span_id}


def test_bedrock_knowledge_bases(traces: Captured, server: ReplayServer) -> None:
    client = _aws("bedrock-agent-runtime", server)
    server.answer_with(Answer.json(RAG_ANSWER))
    assert client.retrieve_and_generate(**RAG)["output"]["text"] == "Hello"
    server.answer_with(_framed(RAG_EVENTS))
    assert len(list(client.retrieve_and_generate_stream(**RAG)["stream"])) == 4
    result = {
        "content": {"text": "b"},
        "location": {"type": "S3", "s3Location": {"uri": "s3://b/1"}},
        "score": 0.5,
    }
    server.answer_with(Answer.json({"retrievalResults": [result]}))
    client.retrieve(knowledgeBaseId="KB12345678", retrievalQuery={"text": "which?"})
    first, second, search = _attributes(traces)
    for attributes in (first, second):
        assert attributes["gen_ai.operation.name"] == "chat"
        assert attributes["gen_ai.request.model"] == "anthropic.claude-3-haiku-20240307-v1:0"
        assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
        assert attributes["llmtrace.usage.estimated"] == "input+output"
        assert _texts(attributes) == "Hello"
        assert json.loads(attributes["gen_ai.retrieval.documents"])[0]["id"] == "s3://b/1"
    assert search["gen_ai.operation.name"] == "retrieval"
    assert search["gen_ai.data_source.id"] == "KB12345678"
    assert search["gen_ai.retrieval.query.text"] == "which?"
    assert json.loads(search["gen_ai.retrieval.documents"]) == [
        {"id": "s3://b/1", "score": 0.5, "content": "b"}
    ]


def test_bedrock_ranks_and_guards(traces: Captured, server: ReplayServer) -> None:
    agents, runtime = _aws("bedrock-agent-runtime", server), _aws("bedrock-runtime", server)
    server.answer_with(Answer.json({"results": [{"index": 0, "relevanceScore": 0.5}]}))
    model = {"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0"}
    agents.rerank(
        queries=[{"type": "TEXT", "textQuery": {"text": "which?"}}],
        sources=[{"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": "a"}}}],
        rerankingConfiguration={
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"modelConfiguration": model},
        },
    )
    server.answer_with(
        Answer.json({"usage": {"contentPolicyUnits": 2}, "action": "NONE", "outputs": [], "assessments": []})
    )
    runtime.apply_guardrail(
        guardrailIdentifier="gr1", guardrailVersion="1", source="INPUT", content=[{"text": {"text": "hi"}}]
    )
    ranked, guarded = _attributes(traces)
    assert (ranked["gen_ai.operation.name"], ranked["gen_ai.request.model"]) == (
        "rerank",
        "amazon.rerank-v1:0",
    )
    assert _used(ranked) == {"rerank_searches": 1}
    assert (guarded["gen_ai.operation.name"], guarded["gen_ai.request.model"]) == ("predict", "gr1")
    assert _used(guarded)["guardrail_units"] == 2
