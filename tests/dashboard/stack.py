"""A real collector and a real dashboard for tests: own processes, free ports, generated traffic inside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from clickhouse_connect.driver.client import Client

from llmtrace_collector.store.reader import open_reader
from tests.collector.prefilled import prefill

from .traffic import SpanData, Traffic, otlp

ADMIN_KEY = "admin-key-of-the-tests"

_COLLECTOR = """
import json, sys
from pathlib import Path
from llmtrace_collector.app import serve
from llmtrace_collector.settings import CollectorSettings
more = json.loads(sys.argv[3])
serve(
    CollectorSettings.model_validate(
        {"port": int(sys.argv[1]), "data_dir": Path(sys.argv[2]), "segment_seconds": 0.2, **more}
    )
)
"""

_DASHBOARD = """
import json, sys
from pathlib import Path
from llmtrace_dashboard.server.app import serve
from llmtrace_dashboard.settings import DashboardSettings
more = json.loads(sys.argv[4])
serve(
    DashboardSettings.model_validate(
        {"port": int(sys.argv[1]), "collector_url": sys.argv[2], "data_dir": Path(sys.argv[3]), **more}
    )
)
"""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(code: str, *arguments: str, ready: str) -> Iterator[None]:
    environment = {**os.environ, "LLMTRACE_ADMIN_KEY": ADMIN_KEY}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)
    try:
        deadline = time.monotonic() + 120
        while True:
            with suppress(httpx.HTTPError):  # not there yet: the two assertions bound the waiting
                if httpx.get(ready, timeout=2).status_code == 200:
                    break
            assert process.poll() is None, f"the process for {ready} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{ready} did not answer in time"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Stack:
    """A running collector with traffic in it."""

    url: str
    data_dir: Path
    end: int
    traffic: Traffic
    hostile_trace: str
    deep_trace: str

    def reader(self) -> Client:
        """A new client on the collector's read endpoint."""
        return open_reader(self.url)

    def put_incident(self, incident_id: str, **changes: object) -> None:
        """Write an incident as watch does."""
        opened = datetime.fromtimestamp(self.end, UTC) - timedelta(minutes=12)
        body = {
            "project": "default",
            "fingerprint": incident_id,
            "kind": "anomaly",
            "rule": "anomaly.latency",
            "severity": "critical",
            "state": "open",
            "title": "Latency of claude-sonnet-4-5 is 4 times the usual",
            "summary": "p95 was 11.2 s in 3 of the last 3 buckets; usual is up to 4.1 s.",
            "metric": "latency",
            "dimensions": {"model": "claude-sonnet-4-5", "provider": "anthropic"},
            "observed": 11.2,
            "expected_low": 1.4,
            "expected_high": 4.1,
            "unit": "s",
            "opened_at": opened.isoformat(),
            "last_seen_at": (opened + timedelta(minutes=4)).isoformat(),
            "evidence": [span.trace_id for span in self.slow_calls()[:5]],
            "count": 6,
            **changes,
        }
        self._write("PUT", f"/v1/incidents/{incident_id}", body)

    def put_delivery(self, incident_id: str, ok: bool) -> None:
        """Write a webhook attempt as watch does."""
        body = {
            "delivery_id": str(uuid.uuid4()),
            "incident_id": incident_id,
            "event": "incident.opened",
            "at": datetime.fromtimestamp(self.end, UTC).isoformat(),
            "url": "https://hooks.example.com/llm",
            "attempt": 1 if not ok else 2,
            "status_code": 200 if ok else 503,
            "ok": ok,
            "error": "" if ok else "the receiver answered 503",
            "duration_ms": 84.2,
        }
        self._write("POST", "/v1/deliveries", body)

    def slow_calls(self) -> list[SpanData]:
        """Calls to the slow model, slowest first."""
        calls = [call for call in self.traffic.calls() if "claude" in call.name]
        return sorted(calls, key=lambda call: -call.duration)

    def _write(self, method: str, path: str, body: Mapping[str, object]) -> None:
        answer = httpx.request(
            method,
            self.url + path,
            json=dict(body),
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=20,
        )
        assert answer.is_success, answer.text


def send(url: str, traffic: Traffic) -> None:
    """Send the traffic and wait until the store has every span, and a price for every model it can price."""
    for start in range(0, len(traffic.spans), 2000):
        answer = httpx.post(
            url + "/v1/traces",
            content=otlp(traffic.spans[start : start + 2000]),
            headers={"Content-Type": "application/x-protobuf"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
    client = open_reader(url)
    deadline = time.monotonic() + 120
    models = {call.attributes["gen_ai.request.model"] for call in traffic.calls()}
    while True:
        stored = client.query("SELECT count() FROM otel_traces").result_rows[0][0]
        priced_models = client.query("SELECT uniqExact(Model) FROM prices").result_rows[0][0]
        if stored >= len(traffic.spans) and priced_models >= len(models):
            return
        assert time.monotonic() < deadline, f"{stored} of {len(traffic.spans)} spans, {priced_models} prices"
        time.sleep(0.2)


@contextmanager
def collector(
    data_dir: Path,
    traces: int = 420,
    deep: int = 5000,
    port: int = 0,
    seconds: int = 3300,
    **settings: object,
) -> Iterator[Stack]:
    """A collector process with generated traffic of the last `seconds`; without `traces` it is empty.

    `settings` are further ones of the collector.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    if not settings.keys() & {"store", "retention_days"}:
        prefill(data_dir / "store")
    with _process(_COLLECTOR, str(port), str(data_dir), json.dumps(settings), ready=url + "/health/ready"):
        end = int(time.time()) - 20
        traffic = Traffic(end, seconds, traces)
        stack = Stack(url, data_dir, end, traffic, "", "")
        if traces:
            stack.hostile_trace = traffic.hostile(end)
            stack.deep_trace = traffic.deep(end, deep)
            send(url, traffic)
        yield stack


@contextmanager
def dashboard(collector_url: str, data_dir: Path, **settings: object) -> Iterator[str]:
    """A dashboard process with further `settings`; its base URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = (str(port), collector_url, str(data_dir), json.dumps(settings))
    with _process(_DASHBOARD, *arguments, ready=url + "/_stcore/health"):
        yield url
