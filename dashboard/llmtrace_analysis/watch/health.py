"""A small HTTP port that says whether watch is alive, for supervisors and Prometheus."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest


class Health:
    """What watch last did. Alive: it evaluates its rules at all; ready: the last evaluation succeeded."""

    def __init__(self, patience_seconds: float) -> None:
        """`patience_seconds`: time without an evaluation after which watch counts as stuck."""
        self.registry = CollectorRegistry()
        self.evaluations = Counter(
            "llmtrace_watch_looks", "Evaluations of the rules.", ["result"], registry=self.registry
        )
        self.changes = Counter(
            "llmtrace_watch_incident_changes",
            "Incidents written.",
            ["action", "rule"],
            registry=self.registry,
        )
        self.seconds = Gauge(
            "llmtrace_watch_look_seconds", "Duration of the last evaluation.", registry=self.registry
        )
        self._patience = patience_seconds
        self._evaluated_at = time.monotonic()
        self._ready = False

    def evaluated(self, succeeded: bool, seconds: float) -> None:
        """Note that an evaluation has ended."""
        self._evaluated_at = time.monotonic()
        self._ready = succeeded
        self.evaluations.labels("ok" if succeeded else "failed").inc()
        self.seconds.set(seconds)

    @property
    def alive(self) -> bool:
        """Whether the last evaluation is recent."""
        return time.monotonic() - self._evaluated_at < self._patience

    @property
    def ready(self) -> bool:
        """Whether the last evaluation is recent and succeeded."""
        return self.alive and self._ready


class HealthServer:
    """Serves /health/live, /health/ready and /metrics. Raises OSError when the port is taken."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(health.registry))
                elif self.path in ("/health/live", "/health/ready"):
                    good = health.alive if self.path == "/health/live" else health.ready
                    body = b'{"status":"ok"}' if good else b'{"status":"unavailable"}'
                    self._answer(200 if good else 503, "application/json", body)
                else:
                    self._answer(404, "text/plain", b"not found\n")

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes are no news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="llmtrace-health", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
