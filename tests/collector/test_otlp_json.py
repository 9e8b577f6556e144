"""OTLP/JSON is what its protobuf form would have been; answers come in the request's encoding."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import httpx
import pytest

from llmtrace_collector.ingest.otlp_json import to_protobuf

from .otlp import SECOND, as_json, llm, logs, score, span, traces
from .running import CLIENT, Served

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def post(served: Served, body: object, signal: str = "traces", **headers: str) -> httpx.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json; charset=utf-8", **headers}
    return CLIENT.post(f"{served.url}/v1/{signal}", content=data, headers=headers)


def request(**fields: Any) -> dict[str, Any]:
    """The example of the specification, of now."""
    now = time.time_ns()
    row: dict[str, Any] = {
        "traceId": TRACE.upper(),
        "spanId": SPAN,
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "I'm a server span",
        "startTimeUnixNano": str(now - SECOND),
        "endTimeUnixNano": now,
        "kind": 2,
        "attributes": [
            {"key": "my.span.attr", "value": {"stringValue": "some value"}},
            {"key": "as text", "value": {"intValue": "9223372036854775807"}},
            {"key": "as number", "value": {"intValue": -42}},
            {"key": "bytes", "value": {"bytesValue": "AP8="}},
            {"key": "empty", "value": {}},
            {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}, {"doubleValue": 2.5}]}}},
            {"key": "nested", "value": {"kvlistValue": {"values": [{"key": "traceId", "value": {}}]}}},
            {"key": "traceId", "value": {"stringValue": "stays"}},
        ],
        "links": [{"traceId": TRACE, "spanId": SPAN, "future": 1}],
        "events": [{"timeUnixNano": str(now), "name": "e", "attributes": []}],
        "status": {"code": 2, "message": "broken"},
        "someFieldOfTheFuture": {"a": [1]},
        **fields,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]}
    scope = {"name": "my.library", "version": "1.0.0", "unknown": None}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": [row]}]}]}


def test_the_specifications_example_is_stored(served: Served) -> None:
    answer = post(served, request())
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    served.stored()
    (row,) = served.rows(
        "SELECT *, Links.TraceId AS linked, Events.Name AS events FROM otel_traces "
        "WHERE TraceId = {t:String}",
        t=TRACE,
    )
    assert row["SpanId"] == SPAN
    assert row["ParentSpanId"] == "eee19b7ec3c1b173"
    assert (row["SpanKind"], row["StatusCode"], row["StatusMessage"]) == ("Server", "Error", "broken")
    assert (row["ServiceName"], row["ScopeName"]) == ("my.service", "my.library")
    assert row["Duration"] in (SECOND, str(SECOND))
    assert (row["linked"], row["events"]) == ([TRACE], ["e"])
    assert row["SpanAttributes"] == {
        "my.span.attr": "some value",
        "as text": "9223372036854775807",
        "as number": "-42",
        "bytes": "AP8=",
        "empty": "",
        "list": "[true,2.5]",
        "nested": '{"traceId":null}',
        "traceId": "stays",
    }


def test_json_equals_protobuf() -> None:
    for signal, sent in (
        ("traces", traces([llm({"a": [1, "b"], "n": 2**63 - 1}, parent_span_id=b"12345678"), span()])),
        ("logs", logs([score({"gen_ai.evaluation.score.value": 0.5})])),
    ):
        assert to_protobuf(signal, as_json(sent)) == sent.SerializeToString()


def test_compressed_json_and_a_resend(served: Served) -> None:
    body = json.dumps(request(traceId="ab" * 16)).encode()
    for _ in range(2):
        assert post(served, gzip.compress(body), **{"content-encoding": "gzip"}).status_code == 200
    served.stored()
    assert served.value(f"SELECT count() FROM otel_traces WHERE TraceId = '{'ab' * 16}'") == "1"


@pytest.mark.parametrize("bad", ["", "xyz", "00" * 16, "ab" * 15, "ab" * 17])
def test_a_bad_id_rejects_its_row_alone(served: Served, bad: str) -> None:
    answer = post(served, request(traceId=bad))
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert "trace id" in answer.json()["partialSuccess"]["errorMessage"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b'{"resourceSpans": 5}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": 5}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\\ud800"}]}]}]}',
        b'{"a":' * 50_000,
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": ' + b"9" * 5000 + b"}]}]}]}",
    ],
)
def test_what_is_no_request_is_refused_in_json(served: Served, body: bytes) -> None:
    answer = post(served, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["code"] == 3
    assert "OTLP JSON" in answer.json()["message"]


def test_an_empty_body_and_unknown_fields_succeed(served: Served) -> None:
    for body in (b"", b"{}", b'{"resourceSpans": [], "future": 1}'):
        assert post(served, body).json() == {}


def test_scores_by_json(served: Served) -> None:
    sent = logs([score({"gen_ai.evaluation.name": "by json", "gen_ai.evaluation.score.value": 0.25})])
    assert post(served, json.loads(as_json(sent)), "logs").status_code == 200
    served.stored()
    assert served.value("SELECT Value FROM scores WHERE Name = 'by json'") == "0.25"
