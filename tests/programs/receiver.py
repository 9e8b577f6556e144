"""A collector on loopback that keeps what it is sent: there, slow, or away."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmtrace import semconv
from llmtrace.testing.replay import read_body

_SLOW_SECONDS: Final = 0.7


@dataclass(frozen=True, slots=True)
class ArrivedSpan:
    """What of a span tells whose it is. Ids in hexadecimal, empty where there is none."""

    trace: str
    span: str
    parent: str
    name: str
    model: str
    user: str


@dataclass(frozen=True, slots=True)
class Report:
    """The last counters of a process."""

    generated: int
    sent: int
    dropped: int
    pending: int
    spooled: int
    killed: bool


class Receiver:
    """Use as a context manager; with `is_away` nobody answers at its address until `open`."""

    def __init__(self, *, is_away: bool = False, is_slow: bool = False) -> None:
        self.delay = _SLOW_SECONDS if is_slow else 0.0
        self._is_away = is_away
        self._lock = threading.Lock()
        self._bodies: list[tuple[str, bytes]] = []
        # Bound and not listened to: connections are refused, and the port stays ours.
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        if not self._is_away:
            self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
        self._socket.close()

    def open(self) -> None:
        """Answer from now on, at once where it was away."""
        if self._server is not None:
            return
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = read_body(self)
                time.sleep(receiver.delay)
                with receiver._lock:
                    receiver._bodies.append((self.path, body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # the sender was killed, which is what is played here
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._socket.listen(128)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = self._socket
        server.daemon_threads = True
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def spans(self) -> list[ArrivedSpan]:
        """All that came, in order of arrival; what came twice is there twice."""
        return [
            _arrived(span)
            for body in self._of("/v1/traces")
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def reports(self) -> dict[str, Report]:
        """Process → its last report."""
        last: dict[str, Report] = {}
        for body in self._of("/v1/logs"):
            for of_resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                for of_scope in of_resource.scope_logs:
                    for record in of_scope.log_records:
                        if record.event_name == semconv.STATS_EVENT:
                            process, report = _report(record)
                            last[process] = report
        return last

    def _of(self, path: str) -> list[bytes]:
        with self._lock:
            bodies = [body for where, body in self._bodies if where == path]
        # The same bytes again are one batch: a collector stores them once.
        return [gzip.decompress(body) for body in dict.fromkeys(bodies)]


def _arrived(span: Any) -> ArrivedSpan:
    values = {attribute.key: attribute.value.string_value for attribute in span.attributes}
    return ArrivedSpan(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        values.get(semconv.REQUEST_MODEL, ""),
        values.get(semconv.USER_ID, ""),
    )


def _report(record: Any) -> tuple[str, Report]:
    values = {attribute.key: attribute.value for attribute in record.attributes}

    def count(name: str) -> int:
        return int(values[f"{semconv.STATS_PREFIX}{name}"].int_value)

    process = f"{values[semconv.SERVICE_INSTANCE_ID].string_value}/{values[semconv.PROCESS_PID].int_value}"
    is_killed = semconv.STATS_KILLED in values and values[semconv.STATS_KILLED].bool_value
    return process, Report(
        generated=count("generated"),
        sent=count("sent"),
        dropped=count("dropped"),
        pending=count("pending"),
        spooled=count("spooled"),
        killed=is_killed,
    )
