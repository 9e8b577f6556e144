"""A small HTTP server on the loopback interface that gives prepared answers, streams included."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from llmtrace.wire.provider_names import PROVIDER_HEADER, provider_of_api
from llmtrace.wire.registry import recognise


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. `chunks` are sent one by one with `pause` seconds between them (a stream)."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    chunks: Sequence[bytes] | None = None
    pause: float = 0.0
    delay: float = 0.0
    """Seconds before the response begins."""
    cut: bool = False
    """Break the connection where the stream's end should be."""

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Answer:
        """A JSON answer."""
        return cls(json.dumps(value).encode(), status, {"content-type": "application/json", **headers})


def sse(events: Iterable[Any], *, done: bool = True, pause: float = 0.0, cut: bool = False) -> Answer:
    """A server-sent event stream with one chunk per event, ended by `[DONE]` if `done`."""
    chunks = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    if done:
        chunks.append(b"data: [DONE]\n\n")
    return Answer(headers={"content-type": "text/event-stream"}, chunks=chunks, pause=pause, cut=cut)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class ReplayServer:
    """Use as a context manager. Answers in order; the last one is given again and again.

    with ReplayServer(Answer.json({...})) as server:
        httpx.post(server.url + "/v1/chat/completions", json={...})
        server.requests[0].headers["traceparent"]
    """

    def __init__(
        self,
        *answers: Answer,
        port: int = 0,
        provider: str | None = None,
        respond: Callable[[Received], Answer] | None = None,
    ) -> None:
        """`port` 0 takes a free one. `provider` is what the server says it is (`x-llmtrace-provider`, which
        spans take over): the one whose API is asked where it is not given, nothing where it is empty.
        `respond` gives the answer to each request instead of `answers`; it runs on threads of the server.
        """
        self._find_answer = respond or (lambda request: self._next())
        self._provider = provider
        self._answers: deque[Answer] = deque(answers)
        self._lock = threading.Lock()
        self.requests: list[Received] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                server._respond(self)

            do_GET = do_DELETE = do_POST

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True  # the client is gone, as one that was killed is

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def answer_with(self, *answers: Answer) -> None:
        """Replace the answers that are left."""
        with self._lock:
            self._answers = deque(answers)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _next(self) -> Answer:
        with self._lock:
            return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        body = read_body(handler)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        received = Received(handler.command, handler.path, headers, body)
        with self._lock:
            self.requests.append(received)
        answer = self._find_answer(received)
        time.sleep(answer.delay)
        handler.send_response(answer.status)
        for name, value in (self._declared(handler, body) | dict(answer.headers)).items():
            if name not in {"content-length", "transfer-encoding"}:
                handler.send_header(name, value)
        try:
            if answer.chunks is None:
                handler.send_header("content-length", str(len(answer.body)))
                handler.end_headers()
                handler.wfile.write(answer.body)
            else:
                self._stream(handler, answer)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True  # the client left early, which is its right

    def _declared(self, handler: BaseHTTPRequestHandler, body: bytes) -> dict[str, str]:
        """The header in which the server names itself, should it."""
        provider = self._provider
        if provider is None:
            path = handler.path.partition("?")[0]
            wire_format = recognise(path, body, handler.command)
            provider = "" if wire_format is None else provider_of_api(path, wire_format.provider)
        return {PROVIDER_HEADER: provider} if provider else {}

    def _stream(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for chunk in answer.chunks or ():
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            handler.wfile.flush()
            if answer.pause:
                time.sleep(answer.pause)
        if answer.cut:
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")


def read_body(handler: BaseHTTPRequestHandler) -> bytes:
    """The body of a request, whole or in chunks, as clients send it that do not know its length before."""
    if handler.headers.get("transfer-encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("content-length", 0)))
    body = b""
    while size := int(handler.rfile.readline().strip() or b"0", 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body
