"""http.client and urllib.request: every way to send and to read is one span, and nothing else changes."""

from __future__ import annotations

import contextlib
import gc
import gzip
import http.client
import io
import json
import socket
import threading
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from llmtrace.testing import Answer, Captured, ReplayServer

from .chat import PLAIN, REQUEST, STREAM, expected_span, pop_times

PATH = "/v1/chat/completions"
BODY = b"".join(STREAM.chunks or ())
ASK = {**REQUEST, "stream": True}
HEADERS = {"Content-Type": "application/json", "X-One": "1"}


_connections: list[http.client.HTTPConnection] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _connections:
        _connections.pop().close()


def _connection(url: str) -> http.client.HTTPConnection:
    _connections.append(http.client.HTTPConnection(url.removeprefix("http://"), timeout=5))
    return _connections[-1]


def _request(url: str, body: bytes) -> Any:
    connection = _connection(url)
    connection.request("POST", PATH, body, HEADERS)
    return connection.getresponse()


def _text(url: str, body: bytes) -> Any:
    connection = _connection(url)
    connection.request("POST", PATH, body.decode(), HEADERS)
    return connection.getresponse()


def _pieces(url: str, body: bytes) -> Any:
    connection = _connection(url)
    connection.putrequest("POST", PATH)
    for name, value in HEADERS.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:10])
    connection.send(io.BytesIO(body[10:]))
    return connection.getresponse()


def _ended_with_body(url: str, body: bytes) -> Any:
    connection = _connection(url)
    connection.putrequest("POST", PATH)
    for name, value in HEADERS.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    return connection.getresponse()


def _chunked(url: str, body: bytes) -> Any:
    connection = _connection(url)
    pieces = (body[at : at + 50] for at in range(0, len(body), 50))
    connection.request("POST", PATH, pieces, HEADERS)
    return connection.getresponse()


def _file(url: str, body: bytes) -> Any:
    connection = _connection(url)
    connection.request("POST", PATH, io.BytesIO(body), {**HEADERS, "Content-Length": str(len(body))})
    return connection.getresponse()


def _urlopen(url: str, body: bytes) -> Any:
    request = urllib.request.Request(url + PATH, body, HEADERS, method="POST")
    response = urllib.request.urlopen(request, timeout=5)
    assert "Traceparent" not in request.headers
    return response


def _opener(url: str, body: bytes) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.addheaders = list(HEADERS.items())
    return opener.open(urllib.request.Request(url + PATH, headers=HEADERS), body)


def _generator(url: str, body: bytes) -> Any:
    pieces = iter([body[:20], body[20:]])
    return urllib.request.urlopen(urllib.request.Request(url + PATH, pieces, HEADERS), timeout=5)


SENDERS: dict[str, Callable[[str, bytes], Any]] = {
    "request": _request,
    "text": _text,
    "pieces": _pieces,
    "ended-with-body": _ended_with_body,
    "chunked": _chunked,
    "file": _file,
    "urlopen": _urlopen,
    "opener": _opener,
    "generator": _generator,
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("sender", SENDERS)
def test_whole_span(traces: Captured, sender: str, stream: bool) -> None:
    sent = ASK if stream else REQUEST
    with ReplayServer(STREAM if stream else PLAIN) as server:
        response = SENDERS[sender](server.url, json.dumps(sent).encode())
        assert response.read() == (BODY if stream else PLAIN.body)
        response.close()
        (span,) = traces.snapshot()
        pop_times(span, stream=stream)
        assert span == expected_span(server, stream=stream)
        (recorded,) = traces.spans()
        context = recorded.get_span_context()
        assert context is not None
        (request,) = server.requests
        assert json.loads(request.body) == sent
        assert request.headers["x-one"] == "1"
        assert request.headers["traceparent"] == (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        )


def _into(response: Any) -> bytes:
    buffer, data = bytearray(50), b""
    while count := response.readinto(buffer):
        data += buffer[:count]
    return data


READERS: dict[str, Callable[[Any], bytes]] = {
    "read": lambda response: bytes(response.read()),
    "read-pieces": lambda response: b"".join(iter(lambda: response.read(50), b"")),
    "read1": lambda response: b"".join(iter(lambda: response.read1(40), b"")),
    "read1-all": lambda response: b"".join(iter(lambda: response.read1(), b"")),
    "readinto": _into,
    "buffered": lambda response: io.BufferedReader(response).read(),
    "lines": lambda response: b"".join(response),
    "readline": lambda response: b"".join(iter(response.readline, b"")),
    "readline-limit": lambda response: b"".join(iter(lambda: response.readline(30), b"")),
    "readlines": lambda response: b"".join(response.readlines()),
    "peek": lambda response: bytes(response.peek(10)[:0] + response.read()),
    "text": lambda response: io.TextIOWrapper(response, encoding="utf-8", newline="").read().encode(),
}


@pytest.mark.parametrize("sender", ["request", "urlopen"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("framing", ["chunked", "length", "gzip"])
def test_readers(traces: Captured, sender: str, reader: str, framing: str) -> None:
    headers = dict(STREAM.headers)
    answer = Answer(headers=headers, chunks=[BODY[:100], BODY[100:101], BODY[101:]])
    expected = BODY
    if framing == "length":
        answer = Answer(BODY, headers=headers)
    elif framing == "gzip":
        if reader == "text":
            pytest.skip("text has to be text")
        expected = gzip.compress(BODY)
        answer = Answer(
            headers={**headers, "content-encoding": "gzip"}, chunks=[expected[:60], expected[60:]]
        )
    with ReplayServer(answer) as server:
        response = SENDERS[sender](server.url, json.dumps(ASK).encode())
        assert READERS[reader](response) == expected
        response.close()
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12
    assert "llmtrace.stream.abandoned" not in span["attributes"]
    assert span["status"] == ("UNSET", None)


def test_a_response_is_what_it_was(traces: Captured) -> None:
    body = json.dumps(REQUEST).encode()
    with (
        ReplayServer(PLAIN) as server,
        contextlib.closing(urllib.request.urlopen(server.url + PATH, body, timeout=5)) as response,
    ):
        assert isinstance(response, http.client.HTTPResponse)
        assert type(response).__name__ == "HTTPResponse"
        assert (response.status, response.getcode()) == (200, 200)
        assert response.geturl() == server.url + PATH
        assert response.headers["content-type"] == "application/json"
        assert response.length == len(PLAIN.body)
        assert not response.isclosed()
        assert json.load(response)["id"] == "chatcmpl-7"
        assert response.isclosed()
        assert response.read() == b""
    assert len(traces.spans()) == 1


def test_a_connection_is_used_again(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        connection = _connection(server.url)
        for _ in range(3):
            connection.request("POST", PATH, json.dumps(REQUEST), HEADERS)
            response = connection.getresponse()
            assert json.loads(response.read())["id"] == "chatcmpl-7"
            connection.request("GET", "/tool", headers={"x-a": "1"})
            assert connection.getresponse().read() == PLAIN.body
        connection.close()
        tools = [request for request in server.requests if request.path == "/tool"]
        assert all("traceparent" not in request.headers for request in tools)
        assert not [name for name in connection.__dict__ if "llmtrace" in name or name == "send"]
    assert [span.name for span in traces.spans()] == ["chat gpt-4o-mini"] * 3


@pytest.mark.parametrize("sender", ["request", "urlopen"])
def test_left_early(traces: Captured, sender: str) -> None:
    slow = Answer(headers=STREAM.headers, chunks=list(STREAM.chunks or ())[:3] * 20, pause=0.02)
    with ReplayServer(slow) as server:
        closed = SENDERS[sender](server.url, json.dumps(ASK).encode())
        closed.read1(300)
        closed.close()
        dropped = SENDERS[sender](server.url, json.dumps(ASK).encode())
        dropped.read1(300)
        del dropped
        _connections.clear()  # which hold their responses
        gc.collect()
        spans = traces.snapshot()
    assert len(spans) == 2
    for span in spans:
        assert span["attributes"]["llmtrace.stream.abandoned"] is True
        assert span["attributes"]["gen_ai.response.id"] == "chatcmpl-7"


def test_an_answer_that_is_never_fetched(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        connection = _connection(server.url)
        connection.request("POST", PATH, json.dumps(REQUEST), HEADERS)
        connection.close()
        _connections.clear()
        del connection
        gc.collect()
        (span,) = traces.snapshot()
    assert span["name"] == "chat gpt-4o-mini"
    assert "http.response.status_code" not in span["attributes"]


def _hang_up(listening: socket.socket) -> None:
    """Take a request and say nothing."""
    with listening.accept()[0] as client:
        client.recv(65536)


def test_errors_are_the_callers(traces: Captured) -> None:
    body = json.dumps(ASK).encode()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", 9, timeout=5).request("POST", PATH, body)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen("http://127.0.0.1:9" + PATH, body, timeout=5)
    with ReplayServer(Answer(headers=STREAM.headers, chunks=(STREAM.chunks or ())[:2], cut=True)) as server:
        for sender in (_request, _urlopen):
            with pytest.raises(http.client.IncompleteRead):
                sender(server.url, body).read()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=_hang_up, args=(silent,), daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", silent.getsockname()[1], timeout=5)
        connection.request("POST", PATH, body)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()
    spans = traces.snapshot()
    assert [span["status"][0] for span in spans] == ["ERROR"] * 5
    kinds = [span["attributes"]["error.type"] for span in spans]
    assert kinds[:4] == ["ConnectionRefusedError", "URLError", "IncompleteRead", "IncompleteRead"]


@pytest.mark.parametrize("reads", [True, False])
def test_an_error_that_urllib_raises_is_an_answer(traces: Captured, reads: bool) -> None:
    busy = Answer.json({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429)
    with ReplayServer(busy) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(server.url + PATH, json.dumps(REQUEST).encode(), timeout=5)
        if reads:
            assert caught.value.read() == busy.body
        caught.value.close()
        (span,) = traces.snapshot()
    attributes = span["attributes"]
    assert attributes["http.response.status_code"] == 429
    assert "llmtrace.stream.abandoned" not in attributes
    assert attributes["error.type"] == ("rate_limit_exceeded" if reads else "429")
    assert span["status"] == ("ERROR", "slow down" if reads else "")


def test_redirects_are_within_the_request(traces: Captured) -> None:
    """One request is one span, and the answer is the last one's."""
    with ReplayServer(PLAIN) as target:
        again = Answer(status=307, headers={"location": target.url + PATH})
        with ReplayServer(again) as server:
            request = urllib.request.Request(server.url + PATH, json.dumps(REQUEST).encode(), HEADERS)
            with pytest.raises(urllib.error.HTTPError):  # urllib sends no body twice
                urllib.request.urlopen(request, timeout=5)
    (span,) = traces.snapshot()
    assert span["attributes"]["http.response.status_code"] == 307


def test_libraries_on_top_make_no_second_span(traces: Captured) -> None:
    with ReplayServer(PLAIN) as server:
        requests.post(server.url + PATH, json=REQUEST, timeout=5)
        urllib.request.urlopen(server.url + PATH, json.dumps(REQUEST).encode(), timeout=5).read()
        assert len(server.requests) == 2
    assert [span.name for span in traces.spans()] == ["chat gpt-4o-mini"] * 2


def test_other_requests_pass_untouched(traces: Captured) -> None:
    with ReplayServer(Answer.json({})) as server, ReplayServer(Answer(b"<?xml version='1.0'?><methodResponse>"
        b"<params><param><value><int>1</int></value></param></params></methodResponse>",
        headers={"content-type": "text/xml"})) as rpc:  # fmt: skip
        connection = _connection(server.url)
        connection.request("POST", "/tool", b'{"messages": []}', {"x-a": "1"})
        response = connection.getresponse()
        assert type(response) is http.client.HTTPResponse
        assert response.read() == b"{}"
        with urllib.request.urlopen(server.url + "/tool") as tool:
            tool.read()
        urllib.request.urlopen("data:text/plain,hello").read()
        with urllib.request.urlopen(Path(__file__).as_uri()) as file:
            assert file.read(3) == b'"""'
        with xmlrpc.client.ServerProxy(rpc.url) as calculator:
            assert calculator.add(1, 2) == 1
        assert all("traceparent" not in request.headers for request in (*server.requests, *rpc.requests))
    assert traces.spans() == []
