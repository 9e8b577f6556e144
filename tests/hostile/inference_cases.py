"""Attacks on the inference service: requests that cost more than they weigh, files, stalled clients."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import ExitStack, suppress

from tests.inference.hostile_requests import CHAT, EMBEDDINGS, HostileRequest, hostile_requests

from .case import Case, Target, storm

MODEL = "tiny-chat-s"
_JSON = {"content_type": "application/json"}
_TOO_LARGE = 300 << 20


def _refused(name: str, requests: list[HostileRequest], threads: int = 4) -> Case:
    """These requests in turn, again and again: none may be anything but refused."""

    def attack(target: Target, seconds: float) -> str:
        turns = itertools.cycle(requests)

        def once(_: int) -> str:
            request = next(turns)
            answer = target.post(request.path, request.body, **_JSON)
            assert answer.status_code == request.status, f"{request.name}: {answer.status_code}"
            return str(answer.status_code)

        return storm(seconds, threads, once)

    return Case(name, "requests", "inference", attack)


def _many_texts(target: Target, seconds: float) -> str:
    """Honest in form, and as much as a request may hold: bounded by the queue."""
    body = json.dumps({"model": MODEL, "input": [[7] * 1000] * 200}).encode()
    seen = storm(seconds, 4, lambda _: str(target.post(EMBEDDINGS, body, **_JSON).status_code))
    assert "500" not in seen, seen
    return seen


def _changing_schemas(target: Target, seconds: float) -> str:
    """A schema that is new each time and never compiles in time."""

    def once(number: int) -> str:
        patterns = [{"type": "string", "pattern": f"(a|b)*a(a|b){{{i}}}x{number}"} for i in range(1, 30)]
        schema = {"name": "a", "schema": {"allOf": patterns}}
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "hi"}],
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        return str(target.post(CHAT, json.dumps(body).encode(), **_JSON).status_code)

    seen = storm(seconds, 8, once)
    assert "200" not in seen, seen
    return seen


def _too_large(target: Target, seconds: float) -> str:
    """Bodies that are announced, or just go on."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n"

    def once(number: int) -> str:
        with target.connect() as connection:
            if number % 2:
                connection.sendall(f"{head}Content-Length: {_TOO_LARGE}\r\n\r\n".encode())
            else:
                connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
                with suppress(OSError):
                    for _ in range(64):
                        connection.sendall(b"10000\r\n" + b"[" * 65_536 + b"\r\n")
            return connection.recv(64)[9:12].decode()

    seen = storm(seconds, 4, once)
    assert "413" in seen, seen
    return seen


def _forms(target: Target, seconds: float) -> str:
    """Forms of many parts, of long headers, and without an end."""
    part = b'--b\r\ncontent-disposition: form-data; name="x"\r\n\r\n1\r\n'
    bodies = [
        part * 200_000,
        b"--b\r\ncontent-disposition: form-data; name=" + b"x" * 5_000_000,
        b"--b\r\n" + b"a: b\r\n" * 500_000,
        b"--b\r\n" * 500_000,
    ]
    kind = {"content_type": "multipart/form-data; boundary=b"}
    seen = storm(
        seconds, 4, lambda number: str(target.post("/v1/files", bodies[number % 4], **kind).status_code)
    )
    assert "500" not in seen, seen
    return seen


def _unread_streams(target: Target, seconds: float) -> str:
    """Answers of many choices, streamed to clients that never read them."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "n": 16,
        "max_tokens": 200,
        "ignore_eos": True,
        "logprobs": True,
        "top_logprobs": 20,
    }
    raw = json.dumps(body).encode()
    request = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(target.connect()).sendall(request)
        time.sleep(seconds)
    return "40 streams"


def _idle(target: Target, seconds: float) -> str:
    """More connections than there are descriptors, of which nothing ever comes."""
    with ExitStack() as stack:
        for _ in range(2000):
            with suppress(OSError):
                stack.enter_context(target.connect())
        time.sleep(seconds)
    return "2000 connections"


def _slow_bodies(target: Target, seconds: float) -> str:
    """Bodies of which a byte comes now and then."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".encode()
    with ExitStack() as stack:
        connections = []
        for _ in range(600):
            with suppress(OSError):
                connection = stack.enter_context(target.connect())
                connection.sendall(head)
                connections.append(connection)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for connection in connections:
                with suppress(OSError):
                    connection.sendall(b"[")
            time.sleep(0.2)
    return f"{len(connections)} connections"


def _cases() -> list[Case]:
    requests = list(hostile_requests(MODEL))
    json_only = [request for request in requests if request.code == "invalid_json"]
    schemas = [
        request for request in requests if b"json_schema" in request.body[:400] and request not in json_only
    ]
    values = [request for request in requests if request not in json_only and request not in schemas]
    return [
        _refused("inference-json", json_only, 8),
        _refused("inference-values", values, 8),
        _refused("inference-schemas", schemas),
        Case("inference-new-schemas", "requests", "inference", _changing_schemas),
        Case("inference-large", "bodies", "inference", _too_large),
        Case("inference-forms", "bodies", "inference", _forms),
        Case("inference-embeddings", "requests", "inference", _many_texts),
        Case("inference-unread", "connections", "inference", _unread_streams),
        Case("inference-idle", "connections", "inference", _idle),
        Case("inference-slow", "connections", "inference", _slow_bodies),
    ]


CASES = _cases()
