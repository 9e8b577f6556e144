"""Receivers that are down, slow or odd: what arrives in the end, and that it is seen meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from llmtrace_analysis.alerts.attempt_log import AttemptLog
from llmtrace_analysis.alerts.metrics import DeliveryMetrics
from llmtrace_analysis.alerts.outbox import Outbox
from llmtrace_analysis.collector_client import CollectorRefused, CollectorUnavailable
from llmtrace_analysis.watch.app import build_outbox
from llmtrace_collector.store.incident import AlertDelivery
from tests.collector.running import free_port

from .test_alerts import NOW, OPEN, RESOLVED, Receiver, outbox, receiver, settings, until, verified

__all__ = ["receiver"]

Serve = Callable[[socket.socket], None]


@contextmanager
def odd_server(serve: Serve) -> Iterator[int]:
    """A server whose connections are all served by `serve`, each in a thread; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

        def serve_one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield int(listening.getsockname()[1])


def drips_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
        connection.send(bytes([byte]))
        time.sleep(0.1)


def drips_interim_answers(connection: socket.socket) -> None:
    connection.recv(65536)
    for _ in range(10_000):
        connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.1)


def never_answers(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(60)


def drips_a_handshake(connection: socket.socket) -> None:
    """As the start of a TLS record that never ends."""
    connection.recv(65536)
    connection.send(b"\x16\x03\x03\x3f\xff")
    for _ in range(10_000):
        connection.send(b"\x02")
        time.sleep(0.1)


def drips_a_body(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10_000):
        connection.send(b"x")
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("serve", "scheme"),
    [
        (drips_headers, "http"),
        (drips_interim_answers, "http"),
        (never_answers, "http"),
        (drips_a_handshake, "https"),
    ],
)
def test_a_slow_receiver_has_a_deadline_is_recorded_and_delays_no_other(
    receiver: Receiver, serve: Serve, scheme: str
) -> None:
    with odd_server(serve) as port:
        configured = settings(
            f"{scheme}://127.0.0.1:{port}/", receiver.url, webhook_timeout_seconds=0.6, webhook_attempts=1
        )
        with outbox(configured) as (box, recorded):
            started = time.monotonic()
            box.sync([OPEN], {}, NOW)
            receiver.next()
            assert time.monotonic() - started < 0.5, "the other has its message at once"
            until(lambda: any(not attempt["ok"] for attempt in recorded))
            assert time.monotonic() - started < 1.5
    failed = next(attempt for attempt in recorded if not attempt["ok"])
    timeout = {"http": "no whole answer within 0.6 s", "https": "no connection, or no TLS, within 0.3 s"}
    assert failed["error"] == f"Timeout: {timeout[scheme]}"
    assert 250 < failed["duration_ms"] < 1400


def test_a_body_that_never_ends_is_not_waited_for() -> None:
    with (
        odd_server(drips_a_body) as port,
        outbox(settings(f"http://127.0.0.1:{port}/")) as (box, recorded),
    ):
        box.sync([OPEN], {}, NOW)
        until(lambda: bool(recorded))
    assert recorded[0]["ok"]
    assert recorded[0]["duration_ms"] < 500


def test_a_name_that_does_not_resolve_in_time_is_under_the_deadline_too(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def slow(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "slow.example":
            time.sleep(3)
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with outbox(settings("http://slow.example/", webhook_timeout_seconds=0.3)) as (box, recorded):
        started = time.monotonic()
        box.sync([OPEN], {}, NOW)
        until(lambda: bool(recorded))
        assert time.monotonic() - started < 1
    assert recorded[0]["error"].startswith("Timeout")


def listening_again(running: Receiver, port: int) -> ThreadingHTTPServer:
    """The same receiver at a port that nobody listened on."""
    server = ThreadingHTTPServer(("127.0.0.1", port), running._server.RequestHandlerClass)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_after_an_outage_nothing_opens_what_is_over(receiver: Receiver) -> None:
    """Both were owed: the one that says both arrives, and no alarm is left open."""
    port = free_port()
    still_open = replace(OPEN, incident_id="still-open")
    with outbox(settings(f"http://127.0.0.1:{port}/", webhook_attempts=2)) as (box, recorded):
        box.sync([OPEN, still_open], {}, NOW)
        until(lambda: len(recorded) > 6)
        box.sync([RESOLVED, still_open], {}, NOW)
        time.sleep(0.2)
        with closing(receiver):
            server = listening_again(receiver, port)
            got = [verified(receiver.next()) for _ in range(2)]
            assert receiver.nothing()
            server.shutdown()
            server.server_close()
    assert {(event["data"]["incident"]["id"], event["type"]) for event in got} == {
        (OPEN.incident_id, "incident.resolved"),
        ("still-open", "incident.opened"),
    }
    (over,) = (event["data"]["incident"] for event in got if event["type"] == "incident.resolved")
    assert over["opened_at"] < over["resolved_at"], "it says both"
    (dropped,) = (attempt for attempt in recorded if attempt["attempt"] == 0)
    assert (dropped["event"], dropped["ok"]) == ("incident.opened", False)
    assert "incident.resolved says both" in dropped["error"]


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    samples = [line.rpartition(" ") for line in lines if "webhook" in line and not line.startswith("#")]
    return {name.removeprefix("llmtrace_watch_webhook_"): float(value) for name, _, value in samples}


def test_what_waits_and_what_was_dropped_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtrace_analysis.alerts.outbox._PATIENCE_SECONDS", 0.3)
    port = free_port()
    registry, recorded = CollectorRegistry(), list[dict[str, Any]]()
    configured = settings(f"http://127.0.0.1:{port}/", webhook_backlog=3)
    box = build_outbox(configured, recorded.append, DeliveryMetrics(registry), is_settled=lambda ids: False)
    box.start()
    with closing(box):
        assert scraped(registry)[f'waiting{{receiver="1 127.0.0.1:{port}"}}'] == 0
        assert not list(box.reasons())
        incidents = [replace(OPEN, incident_id=f"i{number}") for number in range(5)]
        box.sync(incidents, {}, NOW)
        until(lambda: [reason.code for reason in box.reasons()] == ["webhook-waiting", "webhook-dropped"])
        waiting = next(iter(box.reasons()))
        assert waiting.text.startswith(f"3 messages wait for 1 127.0.0.1:{port}, the oldest for ")
        assert "Connect call failed" in waiting.text
        values = scraped(registry)
        label = f'receiver="1 127.0.0.1:{port}"'
        assert values[f"waiting{{{label}}}"] == 3
        assert values[f"oldest_waiting_seconds{{{label}}}"] > 0.3
        assert values[f'dropped_total{{reason="count",{label}}}'] == 2
        assert values[f'attempts_total{{{label},result="failed"}}'] >= 1
    assert {row["incident_id"] for row in recorded if row["attempt"] == 0} == {"i0", "i1"}


def test_what_another_watch_has_delivered_is_not_sent_again(receiver: Receiver) -> None:
    asked: list[list[str]] = []

    def is_settled(ids: Any) -> bool:
        asked.append(list(ids))
        return True

    registry = CollectorRegistry()
    box = build_outbox(
        settings(receiver.url), lambda report: None, DeliveryMetrics(registry), is_settled=is_settled
    )
    box.start()
    with closing(box):
        box.sync([OPEN], {}, NOW)
        until(lambda: bool(asked))
        assert receiver.nothing()
        box.sync([OPEN], {}, NOW)
        assert receiver.nothing()
    assert len(asked) == 1
    assert len(asked[0]) == 3, "that what comes after it was delivered counts as well"


def test_a_fault_of_ours_ends_no_delivery(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = iter([RuntimeError("no memory"), MemoryError()])

    def is_settled(ids: Any) -> bool:
        for fault in faults:
            raise fault
        return False

    box: Outbox = build_outbox(
        settings(receiver.url),
        lambda report: None,
        DeliveryMetrics(CollectorRegistry()),
        is_settled=is_settled,
    )
    box.start()
    with closing(box):
        box.sync([OPEN], {}, NOW)
        assert verified(receiver.next())["type"] == "incident.opened"


def attempt(number: int) -> AlertDelivery:
    return AlertDelivery(
        delivery_id=f"d{number}",
        incident_id="i",
        event="incident.opened",
        at=NOW,
        url="http://r/",
        attempt=1,
        ok=True,
    )


def test_records_wait_for_the_collector_in_order_and_hold_up_nobody() -> None:
    written: list[str] = []
    answers = iter([CollectorUnavailable("away"), None, CollectorRefused(422, "no"), None])
    blocked = threading.Event()

    def write(report: dict[str, Any]) -> None:
        blocked.wait(5)
        error = next(answers)
        if error is not None:
            raise error
        written.append(report["delivery_id"])

    log = AttemptLog(write)
    log.start()
    started = time.monotonic()
    for number in range(3):
        log.add(attempt(number))
    assert time.monotonic() - started < 0.1
    blocked.set()
    log.close(10)
    assert written == ["d0", "d2"], "what is refused holds up no other"
    assert log.lost == 1


def test_records_are_bounded_and_say_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llmtrace_analysis.alerts.attempt_log._MAX_UNRECORDED", 2)
    written: list[str] = []
    log = AttemptLog(lambda report: written.append(report["delivery_id"]))
    for number in range(3):
        log.add(attempt(number))
    log.start()
    log.close(5)
    assert written == ["d1", "d2"]
    assert log.lost == 1
    assert "delivery_not_recorded" in caplog.text
