"""The service as a process: it starts fast, does without a collector for a while, and stops on a signal."""

from __future__ import annotations

import contextlib
import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

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
    metrics: list[dict[str, Metric]] = []  # noqa: RUF012 - shared on purpose
    refused = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.open.is_set():
            type(self).refused += 1
            self.send_response(503)
        else:
            assert self.headers["content-encoding"] == "gzip"
            if self.path == "/v1/metrics":
                sent = ExportMetricsServiceRequest.FromString(gzip.decompress(body))
                scopes = [scope for part in sent.resource_metrics for scope in part.scope_metrics]
                self.metrics.append({m.name: m for scope in scopes for m in scope.metrics})
            request = ExportTraceServiceRequest()
            if self.path == "/v1/traces":
                request.ParseFromString(gzip.decompress(body))
            for resource in request.resource_spans:
                service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
                assert service == "llmtrace-inference"
                self.names.extend(s.name for scope in resource.scope_spans for s in scope.spans)
            self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def _counted() -> int:
    """Requests that the newest metrics know of."""
    if not _Collector.metrics:
        return 0
    durations = _Collector.metrics[-1]["gen_ai.server.request.duration"].histogram.data_points
    return sum(point.count for point in durations)


@contextlib.contextmanager
def _process(settings: InferenceSettings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-c", SERVE, settings.model_dump_json()], stderr=out)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
    sys.stderr.write(log.read_text())


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_start_serve_deliver_stop(model_dir: Path, tmp_path: Path) -> None:
    collector = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    settings = InferenceSettings(
        port=_free_port(),
        data_dir=model_dir,
        otlp_endpoint=f"http://127.0.0.1:{collector.server_address[1]}",
        metrics_interval_seconds=1,
    )
    url = f"http://127.0.0.1:{settings.port}"

    def body(**more: object) -> dict[str, object]:
        return {"model": "tiny-chat-m", "messages": [{"role": "user", "content": "Hi"}]} | more

    with _process(settings, tmp_path / "log") as process, httpx.Client(timeout=60) as client:

        def ask() -> float:
            response = client.post(f"{url}/v1/chat/completions", json=body(max_tokens=2))
            assert response.status_code == 200
            return response.elapsed.total_seconds()

        wait_until(lambda: _answers(f"{url}/health/ready"), 90)
        ask()
        spent = psutil.Process(process.pid).cpu_times()
        assert spent.user + spent.system < 30, "15 s are the aim; a busy machine makes more of them"

        # The collector refuses; requests do not notice, and nothing is lost when it comes back.
        wait_until(lambda: _Collector.refused > 0, 30)
        assert all(ask() < 8 for _ in range(5))
        _Collector.open.set()
        wait_until(lambda: _Collector.names.count("decode") == 6, 60)
        wait_until(lambda: _counted() == 6, 60)

        # A stream is running when the signal comes: it ends with an error event, and its span still gets out.
        endless = body(stream=True, ignore_eos=True, max_tokens=4000)
        with client.stream("POST", f"{url}/v1/chat/completions", json=endless) as response:
            lines = response.iter_lines()
            assert "chat.completion.chunk" in next(lines)
            process.send_signal(signal.SIGTERM)
            last = [line for line in lines if line][-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_unavailable"
        assert process.wait(30) in (0, -signal.SIGTERM), "five seconds on a machine of its own"
        assert _Collector.names.count("chat tiny-chat-m") == 7
        # The last metrics are sent on the way out; in the second for it a busy machine may not make it.
        assert _counted() in (6, 7)
    collector.shutdown()
    collector.server_close()


def test_ctrl_c_while_models_load(tmp_path: Path) -> None:
    settings = InferenceSettings(port=_free_port(), data_dir=tmp_path, trace=False)
    with _process(settings, tmp_path / "log") as process:
        wait_until(lambda: _answers(f"http://127.0.0.1:{settings.port}/health/live"), 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_model_that_cannot_be_loaded_ends_the_service(tmp_path: Path) -> None:
    settings = InferenceSettings(
        port=_free_port(), data_dir=tmp_path, trace=False, models={"m": str(tmp_path)}
    )
    log = tmp_path / "log"
    with _process(settings, log) as process:
        assert process.wait(60) == 1
    assert "give a directory with a transformers model" in log.read_text().splitlines()[-1]


DRAINS = """
import sys
from llmtrace_inference.app import _Server, create_app
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
settings = InferenceSettings.model_validate_json(sys.argv[1])
class Noting(FakeEngine):
    def submit(self, generation):
        print("submitted", flush=True)
        return super().submit(generation)
load = lambda *_: Noting(says="a slow answer", pause=0.2)
_Server(create_app(settings, load=load), settings).run()
"""


def test_running_requests_end_before_the_service_does(tmp_path: Path) -> None:
    settings = InferenceSettings(
        port=_free_port(), data_dir=tmp_path, trace=False, models={"fake": "x"}, drain_seconds=60
    )
    url = f"http://127.0.0.1:{settings.port}"
    body = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]}
    process = subprocess.Popen(
        [sys.executable, "-c", DRAINS, settings.model_dump_json()], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    answers: list[httpx.Response] = []
    try:
        wait_until(lambda: _answers(f"{url}/health/ready"), 60)
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60))
        )
        with httpx.stream(
            "POST", f"{url}/v1/chat/completions", json=body | {"stream": True}, timeout=60
        ) as response:
            lines = response.iter_lines()
            next(lines)
            asking.start()
            assert [process.stdout.readline() for _ in range(2)] == [b"submitted\n"] * 2
            process.send_signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        asking.join(60)
        assert [answer.status_code for answer in answers] == [200]
        assert answers[0].json()["choices"][0]["message"]["content"] == "a slow answer"
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()
