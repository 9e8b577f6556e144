"""A provider on loopback that answers by kind of call, and remembers what went over the wire."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from llmtrace.testing.replay import read_body
from llmtrace.wire.provider_names import PROVIDER_HEADER

from .answers import anthropic, bedrock, cohere, gemini, openai, openai_responses
from .answers.model_answer import ANSWERS, Api
from .programs.questions import DELAY, FIRST, REST, UPSTREAM_HEADER

#: In the order in which a path is held against them.
APIS: tuple[Api, ...] = (
    openai.CHAT,
    openai.EMBEDDINGS,
    openai_responses.RESPONSES,
    anthropic.MESSAGES,
    gemini.GENERATE_CONTENT,
    gemini.EMBEDDINGS,
    bedrock.CONVERSE,
    bedrock.TITAN,
    cohere.CHAT,
    cohere.EMBEDDINGS,
)

#: Headers of one connection, and what says how long its body is.
_OF_CONNECTION = frozenset({"connection", "content-length", "transfer-encoding", "date", "server", "host"})


@dataclass
class Exchange:
    """One request and its answer."""

    kind: str
    path: str
    """With its query, without the kind at its beginning."""
    headers: Mapping[str, str]
    body: bytes
    status: int = 200
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Sequence[bytes] = ()
    """What was sent, in pieces; the piece `first` has the first token."""
    first: int = 0
    is_stream: bool = False
    is_paced: bool = True
    """Whether a stream takes its time."""


class LoopbackProvider:
    """Use as a context manager. The first part of a request's path is the kind of call, which says what is
    answered; a kind's answers come in order, each under an id of its own. Given `exchanges`, it sends those
    again instead, by the number in the first part of the path; `/{number}/request` is what was asked. A
    request may name a server of the program's own that is to answer it.
    """

    def __init__(self, exchanges: Sequence[Exchange] | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self._again = exchanges
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                provider._respond(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Programs end with connections open."""
                if not isinstance(sys.exception(), ConnectionError):
                    super().handle_error(request, client_address)

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        body = read_body(handler)
        place, _, rest = handler.path.lstrip("/").partition("/")
        headers = {name.lower(): value for name, value in handler.headers.items()}
        exchange = Exchange(place, f"/{rest}", headers, body)
        try:
            if (upstream := headers.pop(UPSTREAM_HEADER, "")) and self._again is None:
                self._hand_on(handler, exchange, upstream)
                return
            if self._again is None:
                self._answer(exchange)
            else:
                exchange = self._again[int(place)]
                if rest == "request":
                    asked = {"path": exchange.path, "body": json.loads(exchange.body)}
                    exchange = Exchange(place, "", {}, b"", chunks=[json.dumps(asked).encode()])
            _send(handler, exchange)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True  # the client left early, which is its right

    def _hand_on(self, handler: BaseHTTPRequestHandler, exchange: Exchange, upstream: str) -> None:
        """Let another server answer, and note what it says."""
        with self._lock:
            self.exchanges.append(exchange)
        address = urlsplit(upstream)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        headers = {name: value for name, value in exchange.headers.items() if name not in _OF_CONNECTION} | {
            "accept-encoding": "identity"
        }
        with contextlib.closing(connection):
            connection.request("POST", exchange.path, exchange.body, headers)
            response = connection.getresponse()
            exchange.status = response.status
            named = ((name.lower(), value) for name, value in response.getheaders())
            exchange.answer_headers = {name: value for name, value in named if name not in _OF_CONNECTION}
            exchange.is_stream = "text/event-stream" in exchange.answer_headers.get("content-type", "")
            if not exchange.is_stream:
                exchange.chunks = [response.read()]
                _send(handler, exchange)
                return
            _send_head(handler, exchange)
            chunks: list[bytes] = []
            while line := response.readline():
                if not chunks or chunks[-1].endswith(b"\n\n"):
                    chunks.append(b"")
                chunks[-1] += line
                if chunks[-1].endswith(b"\n\n"):
                    _send_chunk(handler, chunks[-1])
            handler.wfile.write(b"0\r\n\r\n")
        api = next(api for api in APIS if api.matches(exchange.path.partition("?")[0]))
        exchange.chunks = chunks
        exchange.first = next((place for place, chunk in enumerate(chunks) if api.begins(chunk)), 0)

    def _answer(self, exchange: Exchange) -> None:
        """Fill in the answer."""
        path = exchange.path.partition("?")[0]
        api = next((api for api in APIS if api.matches(path)), None)
        if api is None or exchange.kind not in ANSWERS:
            exchange.status, exchange.chunks = 404, [b'{"error": {"message": "no such path"}}']
            exchange.answer_headers = {"content-type": "application/json"}
            return
        request = json.loads(exchange.body or b"{}")
        with self._lock:
            answers = ANSWERS[exchange.kind]
            before = sum(
                earlier.kind == exchange.kind and earlier.status != 404 for earlier in self.exchanges
            )
            number = f"{exchange.kind.replace('_', '')}{before}"
            self.exchanges.append(exchange)
        answer = answers[min(before, len(answers) - 1)]
        exchange.status = answer.status
        answer_headers = {"content-type": "application/json", PROVIDER_HEADER: api.provider}
        exchange.is_stream = answer.status == 200 and api.streams(path, request)
        if answer.status != 200:
            exchange.chunks = [json.dumps(api.error(answer.status)).encode()]
            if answer.status == 429:
                answer_headers |= {"retry-after-ms": "10", "retry-after": "0"}
        elif exchange.is_stream:
            answer_headers["content-type"] = api.content_type
            exchange.chunks = api.stream(answer, number, path, request)
            exchange.first = next(
                (place for place, chunk in enumerate(exchange.chunks) if api.begins(chunk)), 0
            )
        else:
            exchange.chunks = [json.dumps(api.whole(answer, number, path, request)).encode()]
        exchange.answer_headers = answer_headers


def _send(handler: BaseHTTPRequestHandler, exchange: Exchange) -> None:
    time.sleep(DELAY if exchange.is_paced else 0.0)
    _send_head(handler, exchange)
    if not exchange.is_stream:
        handler.wfile.write(b"".join(exchange.chunks))
        return
    after = max(len(exchange.chunks) - exchange.first - 1, 1)
    for place, chunk in enumerate(exchange.chunks):
        if exchange.is_paced and place >= exchange.first:
            time.sleep(FIRST if place == exchange.first else REST / after)
        _send_chunk(handler, chunk)
    handler.wfile.write(b"0\r\n\r\n")


def _send_head(handler: BaseHTTPRequestHandler, exchange: Exchange) -> None:
    handler.send_response(exchange.status)
    for name, value in exchange.answer_headers.items():
        handler.send_header(name, value)
    if exchange.is_stream:
        handler.send_header("transfer-encoding", "chunked")
    else:
        handler.send_header("content-length", str(sum(map(len, exchange.chunks))))
    handler.end_headers()


def _send_chunk(handler: BaseHTTPRequestHandler, chunk: bytes) -> None:
    handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    handler.wfile.flush()
