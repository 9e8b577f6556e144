"""Attacks on the collector's ports."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import grpc
import httpx

from . import wire
from .case import Case, Target, storm

_OTLP = {"content_type": "application/x-protobuf"}
_JSON = {"content_type": "application/json"}


def _flood(
    name: str,
    make_body: Callable[[], bytes],
    *,
    encoding: str = "gzip",
    signal: str = "traces",
    is_quick: bool = False,
) -> Case:
    """The same OTLP body again and again, from eight connections."""

    def attack(target: Target, seconds: float) -> str:
        body = make_body()
        return storm(
            seconds,
            8,
            lambda _: str(target.post(f"/v1/{signal}", body, content_encoding=encoding, **_OTLP).status_code),
        )

    return Case(name, "counts", "collector", attack, is_quick)


def _json_flood(
    name: str,
    path: str,
    make_body: Callable[[], bytes],
    *,
    key: str = "",
    expected: str,
    is_quick: bool = False,
) -> Case:
    """A JSON body again and again."""

    def attack(target: Target, seconds: float) -> str:
        body = make_body()
        authorization = {"authorization": f"Bearer {target.keys[key]}"} if key else {}
        seen = storm(seconds, 4, lambda _: str(target.post(path, body, **_JSON, **authorization).status_code))
        assert expected in seen, seen
        assert "500" not in seen, seen
        return seen

    return Case(name, "bodies", "collector", attack, is_quick)


def _idle(target: Target, seconds: float) -> str:
    """More connections than there are descriptors, of which nothing ever comes."""
    with ExitStack() as stack:
        for _ in range(2000):
            with suppress(OSError):
                stack.enter_context(target.connect())
        time.sleep(seconds)
    return "2000 connections"


def _slow(first: bytes, drop: bytes) -> Case:
    """Connections that send a byte now and then."""

    def attack(target: Target, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        sent = 0
        with ExitStack() as stack:
            connections: list[socket.socket] = []
            for _ in range(600):
                with suppress(OSError):
                    connection = stack.enter_context(target.connect())
                    connection.sendall(first)
                    connections.append(connection)
            while time.monotonic() < deadline:
                for connection in connections:
                    with suppress(OSError):
                        connection.sendall(drop)
                        sent += 1
                time.sleep(0.2)
        return f"{len(connections)} connections, {sent} drops"

    name = "slow-bodies" if b"\r\n\r\n" in first else "slow-headers"
    return Case(name, "connections", "collector", attack, is_quick=True)


def _churn(target: Target, seconds: float) -> str:
    """Connections opened and left as fast as one process can."""
    return storm(seconds, 4, lambda _: (target.connect(), "opened")[1])


def _pipelined(target: Target, seconds: float) -> str:
    """Thousands of requests in one packet, and nobody who reads the answers."""
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(100):
            with suppress(OSError):
                connection = stack.enter_context(target.connect())
                connection.settimeout(1)
                connection.sendall(request * 5000)
        time.sleep(seconds)
    return "100 connections"


def _long_header(target: Target, seconds: float) -> str:
    """A header that does not end."""

    def once(_: int) -> str:
        with target.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            with suppress(OSError):
                for number in range(2000):
                    connection.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))
            return connection.recv(12).decode(errors="replace") or "closed"

    return storm(seconds, 4, once)


def _large_unkeyed(target: Target, seconds: float) -> str:
    """Hundreds of megabytes to an endpoint whose key one does not have: refused before they are read."""
    received = []

    def once(_: int) -> str:
        with target.connect() as connection:
            connection.settimeout(2)
            head = b"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: 300000000\r\n\r\n[")
            answer = connection.recv(4096)
            received.append(answer)
            with suppress(OSError):
                for _ in range(300):
                    connection.sendall(b"[]," * 300_000)
            return answer[9:12].decode() or "closed"

    seen = storm(seconds, 4, once)
    assert all(b" 401 " in answer for answer in received if answer), seen
    return seen


def _foreign_page(target: Target, seconds: float) -> str:
    """What a browser sends for a page of another site."""
    page = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}
    started = time.monotonic()
    tried = 0
    while time.monotonic() - started < min(seconds, 1.0):
        for path in ("/v1/traces", "/clickhouse/", "/v1/keys", "/v1/audit"):
            assert target.post(path, b"{}", **_JSON, **page).status_code == 403, path
            assert target.post(path, b"{}", **_JSON, host="evil.example").status_code == 421, path
            tried += 2
    return f"{tried} refused"


def _query(name: str, text: str) -> Case:
    """A query that is dear to parse."""

    def attack(target: Target, seconds: float) -> str:
        return storm(seconds, 4, lambda _: str(target.post("/clickhouse/", text.encode()).status_code))

    return Case(name, "queries", "collector", attack)


def _hungry_reads(target: Target, seconds: float) -> str:
    """A project's key, whose queries take all the memory that they get."""
    asked = {"role": "read", "project": "hungry", "name": "hungry"}
    bearer = {"authorization": f"Bearer {target.keys['admin']}"}
    created = target.post("/v1/keys", json.dumps(asked).encode(), **_JSON, **bearer)
    assert created.status_code == 200, created.text
    texts = (
        b"SELECT length(groupArray(repeat('x', 1000))) FROM numbers(3000000)",
        b"SELECT uniqExact(number) FROM numbers(100000000)",
        b"SELECT count() FROM numbers(30000000) a JOIN numbers(30000000) b ON a.number = b.number",
        b"SELECT number AS a FROM numbers(990000) FORMAT JSON",
    )
    key = created.json()

    def read(number: int) -> str:
        text = texts[number // 4 % len(texts)]
        return str(target.post("/clickhouse/", text, x_clickhouse_key=key["key"]).status_code)

    try:
        return storm(seconds, 4, read)
    finally:
        # Without keys everyone may read again, as the cases that follow do.
        httpx.delete(f"{target.url}/v1/keys/{key['key_id']}", headers=bearer, trust_env=False)


def _silent_streams(target: Target, seconds: float) -> str:
    """gRPC calls that never send their message; one that does gets through."""
    path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

    def silence() -> object:
        time.sleep(seconds + 20)
        return b""

    with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as silent:
        call = silent.stream_unary(path)
        calls = [call.future(iter(silence, None)) for _ in range(60)]
        time.sleep(0.5)
        accepted = 0
        deadline = time.monotonic() + seconds
        with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel:
            export = channel.unary_unary(path)
            while time.monotonic() < deadline or not accepted:
                export(wire.request(wire.span(name="grpc")), timeout=15)
                accepted += 1
        for silent_call in calls:
            silent_call.cancel()
    return f"60 silent calls, {accepted} accepted"


CASES = [
    _flood("empty-resources", lambda: wire.zipped(wire.empty_resources(8_000_000)), is_quick=True),
    _flood("empty-scopes", lambda: wire.zipped(wire.empty_scopes(8_000_000))),
    _flood("empty-spans", lambda: wire.zipped(wire.empty_spans(8_000_000))),
    _flood("empty-metrics", lambda: wire.zipped(wire.empty_spans(8_000_000)), signal="metrics"),
    _flood("small-empty-spans", lambda: wire.empty_spans(100_000), encoding="identity"),
    _flood("bad-between-good", lambda: wire.zipped(wire.bad_between_good(90_000))),
    _flood("crowded-attributes", lambda: wire.zipped(wire.crowded_span(8_000_000, 9))),
    _flood("crowded-events", lambda: wire.zipped(wire.crowded_span(1_000_000, 11)), is_quick=True),
    _flood("crowded-links", lambda: wire.zipped(wire.crowded_span(1_000_000, 13))),
    _flood("wide-nested", lambda: wire.zipped(wire.wide_nested(1_000_000))),
    _flood("deep-nested", lambda: wire.nested(20_000), encoding="identity"),
    _flood("dense", lambda: wire.zipped(wire.dense(1_900_000))),
    _flood("gzip-members", lambda: wire.members(100_000, "gzip"), is_quick=True),
    _flood("zstd-frames", lambda: wire.members(100_000, "zstd"), encoding="zstd"),
    _flood("gzip-bomb", lambda: wire.bomb(256 << 20, "gzip")),
    _flood("deflate-bomb", lambda: wire.bomb(256 << 20, "deflate"), encoding="deflate"),
    _flood("zstd-bomb", lambda: wire.bomb(256 << 20, "zstd"), encoding="zstd"),
    _json_flood(
        "otlp-json",
        "/v1/traces",
        lambda: b'{"resourceSpans":[' + b"{}," * 2_000_000 + b"{}]}",
        expected="400",
        is_quick=True,
    ),
    _json_flood(
        "otlp-json-quotes",
        "/v1/traces",
        lambda: b'{"a":[' + b'"\\\\",' * 3_000_000 + b'""]}',
        expected="400",
    ),
    _json_flood(
        "json-brackets",
        "/v1/keys",
        lambda: b"[" + b"[]," * 330_000 + b"[]]",
        key="admin",
        expected="400",
        is_quick=True,
    ),
    _json_flood("json-depth", "/v1/prices/update", lambda: b"[" * 1_000_000, key="admin", expected="400"),
    _json_flood("json-large", "/v1/prices/update", lambda: b"[" * 20_000_000, key="admin", expected="413"),
    Case("large-unkeyed", "bodies", "collector", _large_unkeyed, is_quick=True),
    Case("foreign-page", "browsers", "collector", _foreign_page, is_quick=True),
    Case("idle-connections", "connections", "collector", _idle, is_quick=True),
    _slow(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
    _slow(
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
        b"Content-Length: 1000000\r\n\r\n",
        b"x" * 100,
    ),
    Case("churn", "connections", "collector", _churn),
    Case("pipelined", "connections", "collector", _pipelined),
    Case("long-header", "connections", "collector", _long_header),
    Case("silent-streams", "connections", "collector", _silent_streams, is_quick=True),
    Case("hungry-reads", "queries", "collector", _hungry_reads, is_quick=True),
    _query("nested-types", f"SELECT CAST(1, '{'Tuple(' * 30}Int8{')' * 30}')"),
    _query("many-unions", " UNION ALL ".join(["SELECT 1"] * 1500)),
    _query("deep-words", f"SELECT {'.'.join(['a'] * 5000)}, 1{'::Int8' * 2000}"),
]
