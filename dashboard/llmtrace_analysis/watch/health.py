"""A small HTTP port that says whether watch is alive, for supervisors and Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from llmtrace.common.health import HealthCheck, HealthReason
from llmtrace.common.http_limits.bodies import Receive
from llmtrace.common.http_limits.middleware import HttpLimits, Rules, Scope, Send
from llmtrace.common.http_limits.policy import Policy, RouteTable
from llmtrace.common.http_limits.refusal import Refusal
from llmtrace.common.http_limits.request_headers import HostRule, OriginRule
from llmtrace.common.http_limits.server import LimitedServer, limited_config, open_sockets
from llmtrace.common.supervised import SupervisedThread

#: Probes and Prometheus need a few.
_MAX_CONNECTIONS = 64

#: How long it may take to end.
_END_SECONDS = 10.0


class Health:
    """What watch last did. Alive: it evaluates its rules at all; ready: there is no reason against it.

    `checks` are asked at each request for readiness; parts of watch append theirs.
    """

    def __init__(self, patience_seconds: float) -> None:
        """`patience_seconds`: time without an evaluation after which watch counts as stuck."""
        self.registry = CollectorRegistry()
        self.checks: list[HealthCheck] = [self._evaluation]
        self.threads: list[SupervisedThread] = []
        """Those that answer for it: when one is dead, nobody is asked."""
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
        """Whether there is no reason against it."""
        return not self.reasons()

    def reasons(self) -> list[HealthReason]:
        """Why watch is not well; none where it is."""
        return [reason for check in self.checks for reason in check()]

    def _evaluation(self) -> list[HealthReason]:
        if self.alive and self._ready:
            return []
        return [
            HealthReason(
                "watch-evaluation",
                "the last evaluation of the rules failed, or none has ended lately: see the log of watch",
            )
        ]


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
        self._application = HttpLimits(self._answer, rules)
        self._address = (host, self._port)
        self._sockets = sockets
        self._is_closing = False
        self._server: LimitedServer | None = None
        self._thread = SupervisedThread("health port", self._serve)
        health.threads.append(self._thread)
        self._thread.start()

    def _serve(self) -> float | None:
        """Serve until it is closed; where it ends otherwise, on new sockets the next time."""
        host, port = self._address
        config = limited_config(self._application, host, port, lifespan="off")
        self._server = LimitedServer(config, _MAX_CONNECTIONS)
        sockets, self._sockets = self._sockets or open_sockets(host, port), []
        if not self._is_closing:
            self._server.run(sockets)
        if self._is_closing:
            return None
        raise RuntimeError("the health port has ended by itself")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, content_type, body = self._page(scope["path"])
        lines = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    def _page(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._health.registry)
        if path == "/health/live":
            return _json(self._health.alive, {})
        reasons = self._health.reasons()
        texts = [{"code": reason.code, "text": reason.text} for reason in reasons]
        return _json(not reasons, {"reason": "; ".join(reason.text for reason in reasons), "reasons": texts})

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def close(self) -> None:
        """Stop serving."""
        self._is_closing = True
        if self._server is not None:
            self._server.should_exit = True
        self._thread.stop()
        self._thread.join(_END_SECONDS)


def _json(is_well: bool, fields: Mapping[str, object]) -> tuple[int, str, bytes]:
    body = json.dumps({"status": "ok" if is_well else "unavailable", **fields})
    return 200 if is_well else 503, "application/json", body.encode()


async def _nobody(scope: Scope, policy: Policy) -> object:
    """No route asks for a key: what is served names rules, and nobody's data."""
    raise Refusal(401, "there is no key here")


def _in_plain_text(scope: Scope, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    return {"content-type": "text/plain; charset=utf-8"}, f"{refusal}\n".encode()
