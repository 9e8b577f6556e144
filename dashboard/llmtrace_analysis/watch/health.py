"""A small HTTP port that says whether watch is alive, for supervisors and Prometheus."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from llmtrace.common.http_limits.bodies import Receive
from llmtrace.common.http_limits.middleware import HttpLimits, Rules, Scope, Send
from llmtrace.common.http_limits.policy import Policy, RouteTable
from llmtrace.common.http_limits.refusal import Refusal
from llmtrace.common.http_limits.request_headers import HostRule, OriginRule
from llmtrace.common.http_limits.server import LimitedServer, limited_config, open_sockets

#: Probes and Prometheus need a few.
_MAX_CONNECTIONS = 64


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
        self._health = health
        sockets = open_sockets(host, port)
        self._port = int(sockets[0].getsockname()[1])
        rules = Rules(
            routes=RouteTable(
                {
                    "GET /health/live": Policy(is_page=True, is_health=True),
                    "GET /health/ready": Policy(is_page=True, is_health=True),
                    "GET /metrics": Policy(is_page=True),
                }
            ),
            hosts=HostRule(host, (), "the names of this machine (watch has no setting for others)"),
            origins=OriginRule((), ""),
            identify=_nobody,
            formatter=_in_plain_text,
        )
        config = limited_config(HttpLimits(self._answer, rules), host, port, lifespan="off")
        self._server = LimitedServer(config, _MAX_CONNECTIONS)
        self._thread = threading.Thread(
            target=self._server.run, args=(sockets,), name="llmtrace-health", daemon=True
        )
        self._thread.start()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, content_type, body = self._page(scope["path"])
        lines = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    def _page(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._health.registry)
        if self._health.alive if path == "/health/live" else self._health.ready:
            return 200, "application/json", b'{"status":"ok"}'
        return 503, "application/json", b'{"status":"unavailable"}'

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join()


async def _nobody(scope: Scope, policy: Policy) -> object:
    """No route asks for a key: what is served names rules, and nobody's data."""
    raise Refusal(401, "there is no key here")


def _in_plain_text(scope: Scope, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    return {"content-type": "text/plain; charset=utf-8"}, f"{refusal}\n".encode()
