"""A provider on the loopback interface that answers with recordings, each under an id of its own."""

from __future__ import annotations

import gzip
import json
import random
import re
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from llmtrace.wire.provider_names import PROVIDER_HEADER
from tests.sdk.naive import Recording

_ID = re.compile(rb'"id"\s*:\s*"([\w-]{6,})"')


class RecordedProvider:
    """Answers a request by its headers: `x-recording` is the index of the recording, `x-call` a number that
    becomes part of the answer's id, so that two equal requests never have one id. Waits a few milliseconds
    before it answers, and between the events of a stream, as a provider does.
    """

    def __init__(
        self, recordings: Sequence[Recording], *, seconds: tuple[float, float] = (0.005, 0.03)
    ) -> None:
        provider = self
        self._recordings = recordings
        self._seconds = seconds

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                provider._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

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

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("content-length", 0)))
        recording = self._recordings[int(handler.headers["x-recording"])]
        body = with_id(_plain(recording.answered), response_id(handler.headers["x-call"]))
        time.sleep(random.uniform(*self._seconds))
        handler.send_response(recording.status)
        handler.send_header("content-type", recording.headers.get("content-type", "application/json"))
        handler.send_header("content-length", str(len(body)))
        handler.send_header(PROVIDER_HEADER, "openai")
        handler.end_headers()
        events = body.split(b"\n\n") if recording.is_stream else [body]
        for number, event in enumerate(events):
            last = number == len(events) - 1
            handler.wfile.write(event if last else event + b"\n\n")
            if not last and number < 3:
                handler.wfile.flush()
                time.sleep(0.002)


def _plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def response_id(call: object) -> str:
    """The id that the answer to a call has."""
    return f"chatcmpl-call{call}x"


def with_id(body: bytes, new: str) -> bytes:
    """The recorded body under another id."""
    match = _ID.search(body)
    return body if match is None else body.replace(match[1], new.encode())


def chat_calls(recordings: Sequence[Recording]) -> list[dict[str, Any]]:
    """What OpenAI's recordings asked for, as `programs/emit_calls.py` takes it; `recording` is the index."""
    calls: list[dict[str, Any]] = []
    for index, recording in enumerate(recordings):
        if not recording.sent or "api.openai.com" not in recording.record["url"]:
            continue
        kind = {"/v1/chat/completions": "chat", "/v1/embeddings": "embeddings"}.get(recording.path)
        if kind is None:
            continue
        request = json.loads(recording.sent)
        if recording.status == 200 and bool(request.get("stream")) != recording.is_stream:
            continue
        calls.append(
            {
                "recording": index,
                "kind": kind,
                "model": request["model"],
                "stream": bool(request.get("stream")),
                "tools": request.get("tools"),
                "messages": request["messages"] if kind == "chat" else [],
                "input": _texts(request["input"]) if kind == "embeddings" else [],
            }
        )
    return [call for call in calls if call.get("messages") or call.get("input")]


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [text for text in value if isinstance(text, str)]
