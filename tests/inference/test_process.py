"""The service as a process: it starts fast, survives a collector that is away, and stops when told to."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmtrace_inference.settings import InferenceSettings
from tests.inference.running import wait_until

SERVE = (
    "import sys; from llmtrace_inference.app import serve;"
    "from llmtrace_inference.settings import InferenceSettings;"
    "serve(InferenceSettings.model_validate_json(sys.argv[1]))"
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Collector(BaseHTTPRequestHandler):
    """Answers 503 until `open` is set, then keeps what arrives."""

    open = threading.Event()
    names: list[str] = []  # noqa: RUF012 - shared on purpose
    refused = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.open.is_set():
            type(self).refused += 1
            self.send_response(503)
        else:
            assert self.headers["content-encoding"] == "gzip"
            request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
            for resource in request.resource_spans:
                service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
                assert service == "llmtrace-inference"
                self.names.extend(s.name for scope in resource.scope_spans for s in scope.spans)
            self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_start_serve_deliver_stop(model_dir: Path, tmp_path: Path, stop: signal.Signals) -> None:
    collector = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    _Collector.open.clear()
    _Collector.names.clear()
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    settings = InferenceSettings(
        port=_free_port(),
        data_dir=model_dir,
        otlp_endpoint=f"http://127.0.0.1:{collector.server_address[1]}",
    )
    log = (tmp_path / "log").open("w+")
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", SERVE, settings.model_dump_json()], stderr=log)
    url = f"http://127.0.0.1:{settings.port}"
    try:

        def answers() -> bool:
            try:
                return ask({"max_tokens": 4}).status_code == 200
            except httpx.TransportError:
                return False

        def ask(more: dict[str, object]) -> httpx.Response:
            body = {"model": "tiny-chat-s", "messages": [{"role": "user", "content": "Hi"}]} | more
            return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=10)

        wait_until(answers, 15)
        assert time.monotonic() - started < 15

        # The collector refuses; requests do not notice, and nothing is lost when it comes back.
        wait_until(lambda: _Collector.refused > 0, 5)
        assert all(ask({"max_tokens": 2}).elapsed.total_seconds() < 2 for _ in range(5))
        _Collector.open.set()
        wait_until(lambda: _Collector.names.count("decode") == 6, 15)

        # A stream is running when the signal comes.
        body = {
            "model": "tiny-chat-m",
            "stream": True,
            "ignore_eos": True,
            "max_tokens": 4000,
            "messages": [{"role": "user", "content": "Hi"}],
        }
        wait_until(lambda: httpx.get(f"{url}/health/ready").status_code == 200, 15)
        with httpx.Client().stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines).removeprefix("data: "))["model"] == "tiny-chat-m"
            signalled = time.monotonic()
            process.send_signal(stop)
            with pytest.raises(httpx.TransportError):
                for _ in lines:
                    pass
        code = process.wait(5)
        assert time.monotonic() - signalled < 5
        assert code in (0, -stop)
        assert _Collector.names.count("chat tiny-chat-m") == 1, (
            "the cut request's span was sent on the way out"
        )
    finally:
        process.kill()
        process.wait()
        collector.shutdown()
        log.seek(0)
        sys.stderr.write(log.read())
        log.close()
