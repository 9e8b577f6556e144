"""Clients that bring a transport of their own: vector databases', MCP's, HTTP/2's, DSPy's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtrace.testing import Answer, ReplayServer
from tests.sdk.chat import PLAIN, REQUEST, STREAM

from .running import needs, run

_HITS = {
    "took": 1,
    "timed_out": False,
    "hits": {"hits": [{"_index": "docs", "_id": name, "_score": 0.5} for name in "ab"]},
}
_POINTS = [{"id": number, "version": 1, "score": 0.5, "payload": {"text": "private"}} for number in (4, 5)]
_CHROMA_ID = "954bcf0f-bc2c-4478-9a9e-abccfb542256"
_COLLECTION: dict[str, Any] = {
    "id": _CHROMA_ID,
    "name": "docs",
    "tenant": "default_tenant",
    "database": "default_database",
    "configuration_json": {},
    "metadata": None,
    "dimension": 2,
    "log_position": 0,
    "version": 0,
}
#: Client → what its database answers, in the order of the requests; the collection and the ids.
DATABASES: dict[str, tuple[list[Answer], str | None, list[str]]] = {
    "chroma": (
        [
            Answer.json({"user_id": "", "tenant": "default_tenant", "databases": ["default_database"]}),
            Answer.json({"name": "default_tenant"}),
            Answer.json({"id": _CHROMA_ID, "name": "default_database", "tenant": "default_tenant"}),
            Answer.json(_COLLECTION),
            Answer.json(
                {
                    "ids": [["a", "b"]],
                    "distances": [[0.5, 0.5]],
                    "documents": [["private", "private"]],
                    "metadatas": [[None, None]],
                    "embeddings": None,
                    "uris": None,
                    "include": ["documents", "metadatas", "distances"],
                }
            ),
        ],
        _CHROMA_ID,
        ["a", "b"],
    ),
    "qdrant": ([Answer.json({"result": {"points": _POINTS}, "status": "ok", "time": 0})], "docs", ["4", "5"]),
    "qdrant_async": (
        [Answer.json({"result": {"points": _POINTS}, "status": "ok", "time": 0})],
        "docs",
        ["4", "5"],
    ),
    "pinecone": (
        [Answer.json({"matches": [{"id": name, "score": 0.5} for name in "ab"], "usage": {"readUnits": 5}})],
        None,
        ["a", "b"],
    ),
    "elasticsearch": (
        [
            Answer(
                json.dumps(_HITS).encode(),
                headers={
                    "content-type": "application/vnd.elasticsearch+json;compatible-with=9",
                    "x-elastic-product": "Elasticsearch",
                },
            )
        ],
        "docs",
        ["a", "b"],
    ),
    "opensearch": ([Answer.json(_HITS)], "docs", ["a", "b"]),
}


@needs("transports")
@pytest.mark.parametrize("client", DATABASES)
def test_a_query_by_the_databases_own_client(client: str) -> None:
    answers, collection, ids = DATABASES[client]
    with ReplayServer(*answers) as server:
        (span,) = json.loads(
            run("transports", "with_vector_databases.py", client, server.url).splitlines()[-1]
        )
        query = server.requests[-1]
    attributes = span["attributes"]
    assert attributes["gen_ai.operation.name"] == "retrieval"
    assert attributes["db.system.name"] == attributes["gen_ai.provider.name"] == client.partition("_")[0]
    assert attributes.get("gen_ai.data_source.id") == collection
    assert attributes["gen_ai.retrieval.top_k"] == 2
    documents = json.loads(attributes["gen_ai.retrieval.documents"])
    assert documents == [{"id": name, "score": 0.5} for name in ids]
    assert span["status"] == ["UNSET", None]
    assert "traceparent" in query.headers
    assert "private" not in str(span)


_MCP = [
    pytest.param(group, transport, content, marks=needs(group))
    for group in ("transports", "frameworks")
    for transport, content in (("stdio", True), ("stdio", False), ("http", True))
]


@pytest.mark.parametrize(("group", "transport", "content"), _MCP)
def test_an_mcp_client_and_its_server_are_one_trace(
    tmp_path: Path, group: str, transport: str, content: bool
) -> None:
    """In the first version of the package and in its second, which makes spans of its own."""
    env = {"SPANS_FILE": str(tmp_path / "server.json"), "CAPTURE_CONTENT": "yes" if content else "no"}
    printed = json.loads(run(group, "with_mcp.py", "client", transport, **env).splitlines()[-1])
    client, server = printed["client"], printed["server"]
    agent = client[-1]
    assert agent["name"] == "invoke_agent clerk"
    assert [span["name"] for span in client] == [
        "initialize", "tools/list", "tools/call add", "tools/call fail", "execute_tool adder",
        "invoke_agent clerk",
    ]  # fmt: skip
    served = [span for span in server if span["name"] != "initialize"]
    assert [span["name"] for span in served] == [
        "tools/list", "tools/call add", "tools/call fail", "tools/call add",
    ]  # fmt: skip
    assert {span["trace"] for span in (*client, *server)} == {agent["trace"]}
    assert {span["parent"] for span in client[:-1]} == {agent["span"]}
    assert [span["parent"] for span in served] == [span["span"] for span in client[1:-1]]
    assert {span["scope"] for span in (*client, *server)} == {"llmtrace"}
    assert {span["kind"] for span in client[:4]} == {"CLIENT"}
    assert {span["kind"] for span in server} == {"SERVER"}
    for call in (client[2], served[1]):
        attributes = call["attributes"]
        assert attributes["mcp.method.name"] == "tools/call"
        assert attributes["gen_ai.operation.name"] == "execute_tool"
        assert attributes["gen_ai.tool.name"] == "add"
        assert attributes["jsonrpc.request.id"]
        if content:
            assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"left": 1, "right": 2}
            assert json.loads(attributes["gen_ai.tool.call.result"])["structuredContent"] == {"result": 3}
        else:
            assert not [key for key in attributes if key.startswith("gen_ai.tool.call.")]
    for call in (client[3], served[2]):
        assert call["attributes"]["error.type"] == "tool_error"
        assert call["status"] == "ERROR"
    # Within a tool's own span the request is a part of it.
    assert client[4]["attributes"]["mcp.method.name"] == "tools/call"
    assert client[4]["attributes"]["gen_ai.tool.name"] == "adder"


@needs("transports")
def test_http2(tmp_path: Path) -> None:
    plain, chunks = tmp_path / "plain.json", tmp_path / "chunks.json"
    plain.write_text(json.dumps(PLAIN.body.decode()))
    chunks.write_text(json.dumps([chunk.decode() for chunk in STREAM.chunks or ()]))
    arguments = (json.dumps(REQUEST), str(plain), str(chunks))
    printed = json.loads(run("transports", "with_http2.py", *arguments).splitlines()[-1])
    _are_the_same(printed["spans"], plain=2, streamed=2)
    assert printed["ids"] == printed["parents"]


@needs("transports")
def test_dspys_transport() -> None:
    with ReplayServer(PLAIN, STREAM, STREAM, PLAIN, PLAIN, STREAM) as server:
        spans = json.loads(
            run("transports", "with_lm15.py", server.url, json.dumps(REQUEST)).splitlines()[-1]
        )
        assert ["traceparent" in request.headers for request in server.requests] == [
            True, True, True, False, True, True,
        ]  # fmt: skip
    left = spans.pop(2)
    assert left["attributes"]["llmtrace.stream.abandoned"] is True
    _are_the_same(spans, plain=2, streamed=2)


def _are_the_same(spans: list[Any], *, plain: int, streamed: int) -> None:
    assert [span["name"] for span in spans] == ["chat gpt-4o-mini"] * (plain + streamed)
    kinds = [span["attributes"].get("gen_ai.request.stream", False) for span in spans]
    assert (kinds.count(False), kinds.count(True)) == (plain, streamed)
    for span in spans:
        assert span["attributes"]["gen_ai.usage.output_tokens"] == 12
        assert span["attributes"]["gen_ai.response.id"] == "chatcmpl-7"
        assert span["attributes"]["server.address"] == "127.0.0.1"
        assert "llmtrace.stream.abandoned" not in span["attributes"]
        assert span["status"] == ["UNSET", None]
