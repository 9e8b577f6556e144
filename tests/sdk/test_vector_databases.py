"""Searches of vector databases are retrieval steps, whatever client sends them; others' APIs are not."""

from __future__ import annotations

import asyncio
import gzip
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer, capture
from llmtrace.wire import registry
from llmtrace.wire.vector_databases.pinecone import index_of_host

from .chat import PLAIN, REQUEST
from .vector_samples import VECTOR, VECTOR_SAMPLES, VectorSample

PRIVATE = "private"


def _aiohttp(url: str, body: Any) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            await response.read()

    asyncio.run(run())


def _urllib(url: str, body: Any) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        response.read()


SENDERS: dict[str, Callable[[str, Any], Any]] = {
    "httpx": lambda url, body: httpx.post(url, json=body),
    "httpx2": lambda url, body: httpx2.post(url, json=body),
    "requests": lambda url, body: requests.post(url, json=body, timeout=5),
    "aiohttp": _aiohttp,
    "urllib": _urllib,
}


def _expected(sample: VectorSample, *, content: bool = True) -> dict[str, Any]:
    documents = [{"id": key, "score": score} for key, score in sample.documents]
    values = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": sample.system,
        "db.system.name": sample.system,
        "gen_ai.retrieval.top_k": sample.top_k,
        "gen_ai.data_source.id": sample.collection,
        "db.collection.name": sample.collection,
        "gen_ai.retrieval.query.text": sample.text if content else None,
        "gen_ai.retrieval.documents": documents if documents and content else None,
        "error.type": sample.error[0] if sample.error else None,
        "server.address": "127.0.0.1",
        "http.response.status_code": sample.status,
        **sample.more,
    }
    return {key: value for key, value in values.items() if value is not None}


def _attributes(span: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        key: value
        for key, value in span["attributes"].items()
        if key not in {"server.port", "llmtrace.response.time_to_first_byte"}
    }
    if "gen_ai.retrieval.documents" in attributes:
        attributes["gen_ai.retrieval.documents"] = json.loads(attributes["gen_ai.retrieval.documents"])
    return attributes


@pytest.mark.parametrize("sample", VECTOR_SAMPLES, ids=lambda sample: sample.name)
def test_a_search_is_a_retrieval_step(traces: Captured, sample: VectorSample) -> None:
    with ReplayServer(Answer.json(sample.answer, sample.status)) as server:
        httpx.post(server.url + sample.path, json=sample.sent)
    (span,) = traces.snapshot()
    assert span["name"] == f"retrieval {sample.collection or ''}".strip()
    assert span["kind"] == "CLIENT"
    assert _attributes(span) == _expected(sample)
    assert span["status"] == (("ERROR", sample.error[1]) if sample.error else ("UNSET", None))
    assert PRIVATE not in str(span)
    assert str(VECTOR[0]) not in str(span)


@pytest.mark.parametrize("sender", SENDERS)
def test_by_every_client(traces: Captured, sender: str) -> None:
    @llmtrace.observe(name="answer")
    def answer(url: str) -> None:
        for sample in VECTOR_SAMPLES:
            if sample.status == 200:
                SENDERS[sender](url + sample.path, sample.sent)

    samples = [sample for sample in VECTOR_SAMPLES if sample.status == 200]
    with ReplayServer(*(Answer.json(sample.answer) for sample in samples)) as server:
        answer(server.url)
        *steps, root = traces.spans()
        for span, sample, request in zip(traces.snapshot()[:-1], samples, server.requests, strict=True):
            assert _attributes(span) == _expected(sample), sample.name
            assert json.loads(request.body) == sample.sent
    assert all(step.parent == root.get_span_context() for step in steps)
    for step, request in zip(steps, server.requests, strict=True):
        context = step.get_span_context()
        assert context is not None
        assert request.headers["traceparent"].split("-")[2] == f"{context.span_id:016x}"


def test_without_content_there_is_no_text_no_id_and_no_score() -> None:
    for sample in VECTOR_SAMPLES:
        with (
            ReplayServer(Answer.json(sample.answer, sample.status)) as server,
            capture(capture_content=False) as traces,
        ):
            httpx.post(server.url + sample.path, json=sample.sent)
            (span,) = traces.snapshot()
            assert _attributes(span) == _expected(sample, content=False)


@pytest.mark.parametrize("sender", ["httpx", "requests", "aiohttp", "urllib"])
def test_compressed_requests(traces: Captured, sender: str) -> None:
    """Elasticsearch's clients compress what they send, and so may any other."""
    sample = next(sample for sample in VECTOR_SAMPLES if sample.name == "elasticsearch-retriever")
    body = gzip.compress(json.dumps(sample.sent).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}

    async def run(url: str) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            await response.read()

    with ReplayServer(Answer.json(sample.answer)) as server:
        url = server.url + sample.path
        if sender == "httpx":
            httpx.post(url, content=body, headers=headers)
        elif sender == "requests":
            requests.post(url, data=body, headers=headers, timeout=5)
        elif sender == "aiohttp":
            asyncio.run(run(url))
        else:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as response:
                response.read()
        assert server.requests[0].body == body
    (span,) = traces.snapshot()
    expected = _expected(sample)
    assert {key: _attributes(span)[key] for key in expected if key != "gen_ai.provider.name"} == {
        key: value for key, value in expected.items() if key != "gen_ai.provider.name"
    }


#: Requests of other APIs, and of the databases themselves, that are no search by meaning.
OTHER_REQUESTS = [
    ("/query", {"query": "SELECT 1"}),
    ("/api/query", {"vector": VECTOR, "topK": 3}),
    ("/v1/query", {"topK": 3, "id": "a"}),
    ("/query", {"topK": 3}),
    ("/search", {"query": "coats", "limit": 5}),
    ("/v1/search", {"query": "coats", "top_k": 5, "vector": VECTOR}),
    ("/graphql", {"query": "{Get{Article(nearVector:{vector:[1]}){id}}}"}),
    ("/v1/graphql", {"query": "{ Get { Article { title } } }"}),
    ("/v1/graphql", {"query": "{ user(id: 1) { name hybrid } }"}),
    ("/docs/_search", {"query": {"match": {"title": "knn"}}}),
    ("/docs/_search", {"size": 0, "aggs": {"by": {"terms": {"field": "semantic"}}}}),
    ("/docs/_count", {"query": {"knn": {"v": {"vector": VECTOR}}}}),
    ("/api/v2/tenants/t/databases/d/collections/c/get", {"ids": ["a"], "query_embeddings": []}),
    ("/api/v2/tenants/t/databases/d/collections/c/add", {"ids": ["a"], "embeddings": [VECTOR]}),
    ("/api/v2/collections/c/query", {"query_embeddings": [VECTOR]}),
    ("/collections/docs/points/scroll", {"limit": 5}),
    ("/collections/docs/points", {"points": [{"id": 1, "vector": VECTOR}]}),
    ("/collections/docs/search", {"query": "coats", "limit": 5}),
    ("/v2/vectordb/entities/query", {"collectionName": "docs", "filter": "a > 1"}),
    ("/entities/search", {"collectionName": "docs", "data": [VECTOR]}),
    ("/batch", {"searches": []}),
    ("/groups", {"limit": 1}),
]


@pytest.mark.parametrize(("path", "body"), OTHER_REQUESTS)
def test_look_alikes_are_other_calls(traces: Captured, path: str, body: Any) -> None:
    with ReplayServer(Answer.json({})) as server:
        httpx.post(server.url + path, json=body)
    assert [span.name for span in traces.spans()] == ["POST"]


def test_the_index_of_pinecone_is_its_hosts() -> None:
    assert index_of_host("docs-example-1a2b3c4.svc.us-east1-gcp.pinecone.io") == "docs-example"
    assert index_of_host("semantic-search-c01b5b5.svc.aped-4627-b74a.pinecone.io") == "semantic-search"
    assert index_of_host("api.pinecone.io") == index_of_host("127.0.0.1") == ""


def test_a_search_is_not_the_call_that_scores_and_caches_mean(traces: Captured) -> None:
    """Nor does it stand between a call and its repetition."""
    sample = VECTOR_SAMPLES[0]
    failing = Answer.json({"error": {"message": "busy"}}, 503)
    with ReplayServer(failing, Answer.json(sample.answer), PLAIN) as server:
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        httpx.post(server.url + sample.path, json=sample.sent)
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        llmtrace.score("helpful", 1.0)
    first, search, last = traces.spans()
    assert [link.context for link in last.links] == [first.get_span_context()]
    assert not search.links
    (score,) = traces.scores()
    assert last.context is not None
    assert score.span_id == last.context.span_id


def test_the_text_of_a_query_is_redacted() -> None:
    sample = next(sample for sample in VECTOR_SAMPLES if sample.text == "warm coats")
    body = json.loads(json.dumps(sample.sent).replace("warm coats", "mail ann@example.org"))
    with ReplayServer(Answer.json(sample.answer)) as server, capture(redact_pii=True) as traces:
        httpx.post(server.url + sample.path, json=body)
        httpx.post(
            server.url + "/v1/rerank",
            json={"model": "m", "query": "mail ann@example.org", "documents": ["x"]},
        )
        texts = [span["attributes"]["gen_ai.retrieval.query.text"] for span in traces.snapshot()]
    assert len(texts) == 2
    assert all("ann@" not in text and text.startswith("mail [redacted") for text in texts)


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=60), st.binary(max_size=60))
def test_no_path_and_no_body_is_too_odd(path: str, body: bytes) -> None:
    """Nothing is raised, and a search is told by its path and its body together."""
    registry.recognise(path, body)
    for sample in VECTOR_SAMPLES:
        sent = json.dumps(sample.sent).encode()
        assert registry.recognise(sample.path, sent) is not None
        if not body.lstrip().startswith(b"{"):
            by_path = registry.recognise(sample.path, body)
            assert by_path is None or by_path.operation != "retrieval"
        registry.recognise(path, sent)


def test_a_tracers_span_of_the_same_query_does_not_count(traces: Captured) -> None:
    sample = VECTOR_SAMPLES[0]
    tracer = trace.get_tracer("opentelemetry.instrumentation.chromadb")
    with ReplayServer(Answer.json(sample.answer)) as server:
        with tracer.start_as_current_span("chroma.query", attributes={"db.chroma.query.n_results": 2}):
            httpx.post(server.url + sample.path, json=sample.sent)
        with tracer.start_as_current_span("search", attributes={"db.system.name": "elasticsearch"}):
            httpx.post(server.url + sample.path, json=sample.sent)
    _, query, _, search = traces.snapshot()
    assert query["attributes"]["llmtrace.counted"] is False
    assert "llmtrace.counted" not in search["attributes"]
