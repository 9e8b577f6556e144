"""The collector's limits: a policy for every route, answers in each client's shape, requests counted."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd
from fastapi.routing import APIRoute
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.routing import BaseRoute, Route

from llmtrace.common.http_limits.refusal import Refusal
from llmtrace_collector.api.limits import policies
from llmtrace_collector.ingest import otlp_bounds
from llmtrace_collector.ingest.decompress import MAX_MEMBERS, decompress, decompress_small
from llmtrace_collector.ingest.nested_values import REQUESTS, Malformed
from llmtrace_collector.ingest.otlp_bounds import (
    MAX_ATTRIBUTES,
    MAX_RESOURCES,
    BrokenWire,
    Overfull,
    TooManyRows,
    check_size,
    shapes_of,
)
from llmtrace_collector.ingest.validate import MAX_NAME, MAX_NAME_BYTES, SIGNALS, Checked, check
from llmtrace_collector.settings import CollectorSettings
from tests.hostile import wire

from .otlp import attributes, llm, logs, score, span, traces
from .running import CLIENT, Served, settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose settings say that others can reach it."""
    collector = Served(
        settings(
            tmp_path_factory.mktemp("public"),
            host="0.0.0.0",
            ingest_key="in-key",
            read_key="read-key",
            allowed_hosts=["public.example"],
        )
    )
    yield collector
    collector.close()


def methods_of(routes: list[BaseRoute]) -> set[str]:
    """`METHOD /path` of every route, those of included routers too."""
    inner = [route for route in routes if hasattr(route, "original_router")]
    own = {
        f"{method} {route.path}"
        for route in routes
        if isinstance(route, APIRoute | Route)
        for method in route.methods or ()
    }
    return own.union(*(methods_of(route.original_router.routes) for route in inner))


def test_every_route_has_a_policy_and_every_policy_a_route(public: Served) -> None:
    routes = methods_of(public.app.routes)
    assert "POST /v1/traces" in routes
    assert routes == set(policies(public.collector.settings).policies)


def test_only_health_and_pings_are_open(public: Served) -> None:
    table = policies(public.collector.settings).policies
    assert {route for route, policy in table.items() if not policy.roles} == {
        "GET /health/live",
        "GET /health/ready",
        *(f"{method} {path}" for method in ("GET", "HEAD") for path in ("/ping", "/clickhouse/ping")),
    }


def test_metrics_ask_for_a_key_of_every_project_where_others_reach_them(public: Served) -> None:
    admin = {"authorization": f"Bearer {public.admin_key}"}
    new = {"project": "shop", "role": "read"}
    confined = CLIENT.post(f"{public.url}/v1/keys", json=new, headers=admin).json()["key"]
    for path in ("/metrics", "/openapi.json"):
        assert CLIENT.get(f"{public.url}{path}").status_code == 401
        for key, status in (("read-key", 200), (public.admin_key, 200), (confined, 403), ("in-key", 401)):
            headers = {"authorization": f"Bearer {key}"}
            assert CLIENT.get(f"{public.url}{path}", headers=headers).status_code == status, (path, key)


def test_metrics_are_open_where_the_settings_say_so() -> None:
    keys = {"ingest_key": "a", "read_key": "b"}
    for fields, roles in (
        ({"host": "127.0.0.1"}, ()),
        ({"host": "0.0.0.0", **keys}, ("read",)),
        ({"host": "0.0.0.0", "open_metrics": True, **keys}, ()),
    ):
        table = policies(CollectorSettings.model_validate(fields)).policies
        assert {table[f"GET {path}"].roles for path in ("/metrics", "/openapi.json")} == {roles}


def test_refusals_have_the_shape_of_what_was_asked(public: Served) -> None:
    page = {"origin": "https://evil.example", "content-type": "application/x-protobuf"}
    answer = CLIENT.post(f"{public.url}/v1/traces", content=b"", headers=page)
    assert (answer.status_code, Status.FromString(answer.content).code) == (403, 7)
    answer = CLIENT.post(f"{public.url}/v1/logs", content=b"", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    answer = CLIENT.get(f"{public.url}/clickhouse", headers={"host": "evil.example"})
    assert (answer.status_code, answer.text.startswith("Code: ")) == (421, True)
    assert "allowed_hosts" in answer.text
    answer = CLIENT.get(f"{public.url}/clickhouse")
    assert answer.headers["www-authenticate"] == 'Basic realm="llmtrace"'
    answer = CLIENT.get(f"{public.url}/v1/stats")
    assert (answer.status_code, "admin.key" in answer.json()["detail"]) == (401, True)
    assert CLIENT.get(f"{public.url}/v1/nothing").json() == {"detail": "Not Found"}


def test_an_administrators_body_is_bounded_before_it_is_parsed(public: Served) -> None:
    headers = {"authorization": f"Bearer {public.admin_key}", "content-type": "application/json"}

    def post(body: bytes) -> int:
        return CLIENT.post(f"{public.url}/v1/keys", content=body, headers=headers).status_code

    assert post(b"[" * ((1 << 20) + 1)) == 413
    assert post(b"[" * 10_000) == 400
    assert post(b'{"a":' * 17 + b"1" + b"}" * 17) == 400
    assert post(b"[" + b"[]," * 100_000 + b"[]]") == 400
    assert post(json.dumps({"role": "read", "name": "x" * 200}).encode()) == 200
    unkeyed = CLIENT.post(f"{public.url}/v1/keys", content=b"[" * (2 << 20))
    assert unkeyed.status_code == 401


def checked(body: bytes, rows_at_most: int | None = None) -> Checked:
    """The body of a request of spans, checked."""
    return check("traces", body, now=time.time_ns(), retention_days=30, rows_at_most=rows_at_most)


@pytest.mark.parametrize(
    "body",
    [
        wire.empty_resources(8_000_000),
        wire.empty_resources(MAX_RESOURCES + 1),
        wire.empty_scopes(4_000_000),
        wire.empty_scopes(30_000),
        wire.empty_spans(8_000_000),
        wire.empty_spans(127_000),
        wire.crowded_span(8_000_000, 9),
        wire.crowded_span(8_000_000, 11),
        wire.wide_nested(1_000_000),
    ],
    ids=len,
)
def test_requests_that_hold_too_much_are_refused_in_no_time(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(Overfull, match="smaller batches"):
        checked(body)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("tag", [9, 11, 13])
def test_a_span_with_too_many_parts_is_left_out(tag: int) -> None:
    body = wire.crowded_span(MAX_ATTRIBUTES + 1, tag)
    result = checked(body)
    assert (result.accepted, result.rejected) == (0, 1)
    assert "more than 4,096" in result.message
    assert checked(wire.crowded_span(MAX_ATTRIBUTES, tag)).accepted == 1


@pytest.mark.parametrize("key", ["service.name", "llmtrace.project"])
def test_rows_under_a_name_that_is_none_are_left_out(key: str) -> None:
    names = {"service.name": "shop", key: "n" * MAX_NAME}
    assert checked(traces([span()], names).SerializeToString()).accepted == 1
    long = traces([span(), span()], {**names, key: "n" * (MAX_NAME + 1)})
    long.MergeFrom(traces([span()]))
    result = checked(long.SerializeToString())
    assert (result.accepted, result.rejected) == (1, 2)
    assert "longer than 1,024 characters" in result.message
    assert b"n" * MAX_NAME not in result.body
    assert max(len(rows.project + rows.service) for rows in result.services) < 2 * MAX_NAME + 1


@pytest.mark.parametrize("key", ["gen_ai.request.model", "gen_ai.provider.name", "user.id", "long key"])
def test_rows_with_a_value_too_long_to_group_by_are_left_out(key: str) -> None:
    long = "n" * (MAX_NAME_BYTES + 1)
    bad = llm({long: "x"} if key == "long key" else {key: long})
    result = checked(traces([span(), bad, llm({"gen_ai.input.messages": long})]).SerializeToString())
    assert (result.accepted, result.rejected) == (2, 1)
    assert "longer than 64 KiB" in result.message


def test_a_resource_without_rows_names_no_service(public: Served) -> None:
    empty = traces([], {"service.name": "nobody" * 10_000})
    empty.MergeFrom(traces([span()], {"service.name": "somebody"}))
    headers = {"authorization": "Bearer in-key"}
    assert public.post(empty, headers=headers).status_code == 200
    public.stored()
    metrics = CLIENT.get(f"{public.url}/metrics", headers={"authorization": "Bearer read-key"}).text
    assert "somebody" in metrics
    assert "nobody" not in metrics


def test_what_is_left_out_of_a_long_list_is_exactly_what_is_bad() -> None:
    result = checked(wire.bad_between_good(5000))
    assert (result.accepted, result.rejected) == (2500, 2500)
    (scope,) = ExportTraceServiceRequest.FromString(result.body).resource_spans[0].scope_spans
    assert len(scope.spans) == 2500
    assert all(len(part.span_id) == 8 for part in scope.spans)


def test_only_what_is_small_is_checked_where_it_came_in() -> None:
    few, many = traces([span()] * 1000), traces([span()] * 1100)
    assert checked(few.SerializeToString(), 1024).accepted == 1000
    for body in (many.SerializeToString(), wire.empty_resources(200), wire.wide_nested(5000)):
        with pytest.raises(TooManyRows):
            checked(body, 1024)


@pytest.mark.parametrize("body", [b"\x0a\xff", b"\x0a" + b"\xff" * 11, b"\x0b" * 10, b"\x0a\x05\x12\x7f"])
def test_broken_wire_is_no_request(body: bytes) -> None:
    with pytest.raises(BrokenWire):
        check_size(body, shapes_of(REQUESTS["traces"].DESCRIPTOR))
    with pytest.raises(Malformed):
        checked(body)


def messages_in(message: Message) -> int:
    """How many messages a message holds, at any depth."""
    inner = [
        part
        for field, value in message.ListFields()
        if field.message_type is not None
        for part in (value if field.is_repeated else [value])
    ]
    return len(inner) + sum(map(messages_in, inner))


NESTED = {"list": [1, [2, "x"]], "map": {"a": {"b": 1.5}}, "text": "x" * 300, "negative": -1, "yes": True}
REQUESTS_TO_COUNT = {
    "traces": traces([llm(NESTED, events=[Span.Event(name="e", attributes=attributes(NESTED))])] * 20),
    "logs": logs([score(NESTED)] * 3),
    "metrics": ExportMetricsServiceRequest(
        resource_metrics=[
            ResourceMetrics(
                scope_metrics=[
                    ScopeMetrics(
                        metrics=[
                            Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint(as_double=0.5)] * 4))
                        ]
                    )
                ]
            )
        ]
    ),
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_messages_are_counted_exactly(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = REQUESTS_TO_COUNT[signal]
    body, shapes = request.SerializeToString(), shapes_of(REQUESTS[signal].DESCRIPTOR)
    for name, value in (("_DEEP_BYTES", 0), ("_RARE", 1 << 30)):
        monkeypatch.setattr(otlp_bounds, name, value)
    monkeypatch.setattr(otlp_bounds, "MAX_MESSAGES", messages_in(request))
    check_size(body, shapes)
    monkeypatch.setattr(otlp_bounds, "MAX_MESSAGES", messages_in(request) - 1)
    with pytest.raises(Overfull):
        check_size(body, shapes)


def test_members_are_bounded() -> None:
    part = gzip.compress(b"x")
    assert decompress(part * MAX_MEMBERS, "gzip", 1000) == b"x" * MAX_MEMBERS
    for body, encoding in ((part * (MAX_MEMBERS + 1), "gzip"), (zstd.compress(b"") * 100_000, "zstd")):
        started = time.process_time()
        with pytest.raises(Refusal, match="members"):
            decompress(body, encoding, 1000)
        assert time.process_time() - started < 1


def test_the_size_after_decompression_decides_where_work_runs() -> None:
    assert decompress_small(gzip.compress(bytes(1000)), "gzip", 1000) == bytes(1000)
    assert decompress_small(gzip.compress(bytes(1001)), "gzip", 1000) is None
    assert decompress_small(bytes(1001), "identity", 1000) is None
    with pytest.raises(Refusal):
        decompress_small(b"no gzip", "gzip", 1000)


def test_hostile_clients_stop_nobody() -> None:
    """The trimmed run; `python -m tests.hostile` is all of it."""
    command = [sys.executable, "-m", "tests.hostile", "--quick", "--seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["cases"] >= 10
    assert summary["spans_lost"] == 0
