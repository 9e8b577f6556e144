"""Webhooks: what is sent, how it is signed, and what happens when a receiver does not take it."""

from __future__ import annotations

import base64
import json
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from hypothesis import given
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from llmtrace_analysis.alerts.channels import url_guard
from llmtrace_analysis.alerts.messages import delivery_id_of, events_of, to_message
from llmtrace_analysis.alerts.metrics import DeliveryMetrics
from llmtrace_analysis.alerts.outbox import Outbox
from llmtrace_analysis.settings import WatchSettings, Webhook
from llmtrace_analysis.watch.app import build_outbox
from llmtrace_collector.store.incident import Incident
from tests.hostile_text import hostile

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = 1_800_000_000.0

OPEN = Incident(
    incident_id="7c1e7c0a-0000-4000-8000-000000000001",
    project="default",
    fingerprint="f" * 32,
    kind="anomaly",
    rule="anomaly.latency",
    severity="critical",
    state="open",
    title="Latency of gpt-4o-mini (openai): 8.1 s, usually 900 ms",
    summary="The slowest 5% of calls took 8.1 s.",
    metric="latency",
    dimensions={"provider": "openai", "model": "gpt-4o-mini"},
    observed=8.1,
    expected_low=0.2,
    expected_high=3.6,
    unit="s",
    opened_at=NOW - 60,
    last_seen_at=NOW - 10,
    updated_at=NOW,
    acknowledged_at=None,
    acknowledged_by="",
    resolved_at=None,
    evidence=("a" * 32, "b" * 32),
    count=3,
)
RESOLVED = replace(OPEN, state="resolved", resolved_at=NOW - 5)


@dataclass(frozen=True)
class Received:
    headers: Headers
    body: bytes


class Receiver:
    """A webhook receiver that answers as it was set up to, 200 by default, and keeps what it got."""

    def __init__(self) -> None:
        self.answers: queue.Queue[tuple[int, dict[str, str]]] = queue.Queue()
        self.got: queue.Queue[Received] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.put(Received(self.headers, body))
                try:
                    status, headers = receiver.answers.get_nowait()
                except queue.Empty:
                    status, headers = 200, {}
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook?token=private"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self) -> Received:
        return self.got.get(timeout=10)

    def nothing(self) -> bool:
        try:
            self.got.get(timeout=0.3)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


def settings(*urls: str, **fields: Any) -> WatchSettings:
    values: dict[str, Any] = {
        "webhooks": tuple(Webhook.model_validate({"url": url, "secret": SECRET}) for url in urls),
        "allow_private_webhooks": True,
        "webhook_backoff_seconds": 0.01,
        "webhook_backoff_max_seconds": 0.05,
        "webhook_timeout_seconds": 5,
        **fields,
    }
    return WatchSettings.model_validate(values)


@contextmanager
def outbox(configured: WatchSettings) -> Iterator[tuple[Outbox, list[dict[str, Any]]]]:
    recorded: list[dict[str, Any]] = []
    metrics = DeliveryMetrics(CollectorRegistry())
    box = build_outbox(configured, recorded.append, metrics, is_settled=lambda ids: False)
    box.start()
    yield box, recorded
    box.close()


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def verified(received: Received) -> dict[str, Any]:
    body: dict[str, Any] = Verifier(SECRET).verify(received.body, dict(received.headers.items()))
    return body


def test_a_signed_message_tells_of_the_incident(receiver: Receiver) -> None:
    with outbox(settings(receiver.url)) as (box, recorded):
        box.sync([OPEN], {}, NOW)
        got = receiver.next()
        until(lambda: len(recorded) == 1)
        box.sync([OPEN], {}, NOW)
        assert receiver.nothing(), "what was delivered is not sent again, recorded or not"
    body = verified(got)
    assert body["type"] == "incident.opened"
    assert body["data"]["incident"]["state"] == "open"
    assert body["data"]["incident"]["observed"] == 8.1
    assert body["data"]["links"]["incident"].endswith(f"/incidents?incident={OPEN.incident_id}")
    assert body["data"]["links"]["traces"][0].endswith("/traces?trace=" + "a" * 32)
    assert got.headers["Host"] == receiver.url.split("/")[2]
    (attempt,) = recorded
    assert attempt["ok"]
    assert attempt["status_code"] == 200
    assert attempt["attempt"] == 1
    assert attempt["url"] == receiver.url.partition("?")[0], "the query may hold a token"


def test_a_message_is_to_the_byte_what_receivers_know() -> None:
    decided = replace(OPEN, state="acknowledged", acknowledged_at=NOW - 30.5, acknowledged_by="ada")
    message = to_message(decided, "incident.acknowledged", NOW - 30.5, "http://127.0.0.1:8501/")
    assert message.body == (
        '{"type":"incident.acknowledged","timestamp":"2027-01-15T07:59:29.500Z","data":{"incident":{'
        '"id":"7c1e7c0a-0000-4000-8000-000000000001","project":"default","kind":"anomaly",'
        '"rule":"anomaly.latency","severity":"critical","state":"acknowledged",'
        '"title":"Latency of gpt-4o-mini (openai): 8.1 s, usually 900 ms",'
        '"summary":"The slowest 5% of calls took 8.1 s.","metric":"latency",'
        '"dimensions":{"provider":"openai","model":"gpt-4o-mini"},"observed":8.1,"expected_low":0.2,'
        '"expected_high":3.6,"unit":"s","opened_at":"2027-01-15T07:59:00.000Z",'
        '"last_seen_at":"2027-01-15T07:59:50.000Z","acknowledged_by":"ada","resolved_at":null,"count":3},'
        '"links":{"incident":"http://127.0.0.1:8501/incidents?incident=7c1e7c0a-0000-4000-8000-000000000001",'
        f'"traces":["http://127.0.0.1:8501/traces?trace={"a" * 32}",'
        f'"http://127.0.0.1:8501/traces?trace={"b" * 32}"]}}}}}}'
    )


def test_a_tampered_message_does_not_verify(receiver: Receiver) -> None:
    with outbox(settings(receiver.url)) as (box, _):
        box.sync([OPEN], {}, NOW)
        got = receiver.next()
    verified(got)
    with pytest.raises(WebhookVerificationError):
        verified(replace(got, body=got.body.replace(b"critical", b"warning ")))
    other = Verifier("whsec_" + base64.b64encode(b"x" * 32).decode())
    with pytest.raises(WebhookVerificationError):
        other.verify(got.body, dict(got.headers.items()))


def test_a_failed_attempt_is_repeated_with_the_same_id_until_it_succeeds(receiver: Receiver) -> None:
    receiver.answers.put((500, {}))
    receiver.answers.put((302, {"Location": "http://127.0.0.1:9/elsewhere"}))
    with outbox(settings(receiver.url)) as (box, recorded):
        box.sync([OPEN], {}, NOW)
        until(lambda: len(recorded) == 3)
        box.sync([RESOLVED], {}, NOW)
        got = [receiver.next() for _ in range(4)]
        until(lambda: len(recorded) == 4)
    assert [verified(request)["type"] for request in got] == [*["incident.opened"] * 3, "incident.resolved"]
    assert len({request.headers["webhook-id"] for request in got[:3]}) == 1
    assert got[3].headers["webhook-id"] != got[0].headers["webhook-id"]
    assert [(a["attempt"], a["status_code"], a["ok"]) for a in recorded] == [
        (1, 500, False),
        (2, 302, False),
        (3, 200, True),
        (1, 200, True),
    ]
    assert verified(got[3])["data"]["incident"]["resolved_at"].endswith("Z")


def test_what_was_not_delivered_is_sent_by_the_next_start(receiver: Receiver) -> None:
    configured = settings(receiver.url, webhook_attempts=2)
    receiver.answers.put((422, {}))
    receiver.answers.put((422, {}))
    with outbox(configured) as (box, recorded):
        box.sync([OPEN], {}, NOW)
        first = receiver.next()
        receiver.next()
        until(lambda: len(recorded) == 2)
        box.sync([OPEN], {}, NOW)
        assert receiver.nothing(), "an event that was refused so often rests"
    delivered = {recorded[0]["delivery_id"]: (False, 2)}
    with outbox(configured) as (box, recorded):
        box.sync([OPEN], delivered, NOW)
        again = receiver.next()
        until(lambda: len(recorded) == 1)
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    assert recorded[0]["attempt"] == 3
    with outbox(configured) as (box, _):
        box.sync([OPEN], {recorded[0]["delivery_id"]: (True, 3)}, NOW)
        assert receiver.nothing(), "what the store says was delivered is not sent"
        box.sync([replace(RESOLVED, incident_id="old", resolved_at=NOW - 86_401)], {}, NOW)
        assert receiver.nothing(), "an event older than the window is given up"
        box.sync([replace(OPEN, incident_id="long", opened_at=NOW - 86_401)], {}, NOW)
        assert verified(receiver.next())["data"]["incident"]["id"] == "long", "it is not over"


def test_410_ends_the_deliveries_to_one_receiver_alone(receiver: Receiver) -> None:
    gone = Receiver()
    gone.answers.put((410, {}))
    with outbox(settings(gone.url, receiver.url)) as (box, recorded):
        box.sync([OPEN], {}, NOW)
        gone.next()
        until(lambda: len(recorded) == 2)
        box.sync([RESOLVED], {}, NOW)
        events = [verified(receiver.next())["type"] for _ in range(2)]
        assert events == ["incident.opened", "incident.resolved"]
        until(lambda: len(recorded) == 3)
        assert gone.nothing()
        assert [r.channel.gone for r in box.receivers] == [True, False]
        assert [reason.code for reason in box.reasons()] == ["webhook-gone"]
    gone.close()


def test_retry_after_is_honoured(receiver: Receiver) -> None:
    receiver.answers.put((429, {"Retry-After": "1"}))
    with outbox(settings(receiver.url, webhook_backoff_max_seconds=5)) as (box, _):
        box.sync([OPEN], {}, NOW)
        receiver.next()
        asked = time.monotonic()
        box.sync([OPEN, replace(OPEN, incident_id="another")], {}, NOW)
        receiver.next()
        receiver.next()
        assert time.monotonic() - asked >= 0.9, "no message goes before, one that is new neither"
    receiver.answers.put((503, {"Retry-After": "3600"}))
    with outbox(settings(receiver.url)) as (box, _):
        box.sync([OPEN], {}, NOW)
        receiver.next()
        assert receiver.nothing(), "an hour is not waited out in line: the event rests"


def test_a_stop_does_not_wait_for_a_backoff(receiver: Receiver) -> None:
    receiver.answers.put((500, {}))
    configured = settings(receiver.url, webhook_backoff_seconds=60, webhook_backoff_max_seconds=60)
    with outbox(configured) as (box, recorded):
        box.sync([OPEN], {}, NOW)
        receiver.next()
        until(lambda: len(recorded) == 1)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert receiver.nothing()


def test_a_receiver_that_hangs_holds_up_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        with outbox(settings(url, webhook_timeout_seconds=0.2, webhook_attempts=1)) as (box, recorded):
            started = time.monotonic()
            box.sync([OPEN], {}, NOW)
            assert time.monotonic() - started < 0.2
            until(lambda: len(recorded) == 1)
    assert "Timeout" in recorded[0]["error"]


def test_private_addresses_are_refused_unless_allowed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with outbox(settings(receiver.url, allow_private_webhooks=False)) as (box, recorded):
        box.sync([OPEN], {}, NOW)
        until(lambda: len(recorded) == 1)
        assert receiver.nothing()
    assert "127.0.0.1" in recorded[0]["error"]
    assert "allow_private" in recorded[0]["error"]

    # A name that leads to both: only the public address is connected to, whatever it says later.
    port = int(receiver.url.split(":")[2].split("/")[0])
    address_infos = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("10.0.0.1", "1.1.1.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: address_infos)
    assert url_guard.resolve(httpx.URL("https://hooks.example/x"), allow_private=False) == "1.1.1.1"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: address_infos[:1])
    with pytest.raises(url_guard.AddressRefused):
        url_guard.resolve(httpx.URL("https://hooks.example/x"), allow_private=False)


def test_the_checked_address_is_connected_to_under_the_urls_name(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(receiver.url.split(":")[2].split("/")[0])
    lookups = []

    def lookup(host: str, *_: object, **__: object) -> list[object]:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with outbox(settings(f"http://hooks.example:{port}/x")) as (box, _):
        box.sync([OPEN], {}, NOW)
        got = receiver.next()
    assert got.headers["Host"] == f"hooks.example:{port}"
    assert "hooks.example" in lookups
    assert lookups.count("hooks.example") == 1, "it is not resolved a second time to connect"


def test_the_largest_incident_stays_below_20_kb() -> None:
    huge = replace(
        OPEN,
        title="Ü" * 5000,
        summary="Ü" * 9000,
        dimensions={"provider": "o" * 9000, "model": "м" * 9000, "user": "u" * 9000},
        evidence=tuple(f"{n:032x}" for n in range(100)),
    )
    message = to_message(huge, "incident.opened", NOW, "http://127.0.0.1:8501")
    assert len(message.body.encode()) < 20_000
    json.loads(message.body)


def test_an_event_has_the_same_ids_whenever_it_is_sent() -> None:
    acknowledged = replace(RESOLVED, acknowledged_at=NOW - 30, acknowledged_by="ada")
    events = list(events_of(acknowledged))
    assert [event for event, _ in events] == [
        "incident.opened",
        "incident.acknowledged",
        "incident.resolved",
    ]
    ids = [to_message(acknowledged, event, at, "http://d").message_id for event, at in events]
    later = replace(acknowledged, count=9)
    assert ids == [to_message(later, event, at, "http://d").message_id for event, at in events_of(later)]
    assert len(set(ids)) == 3
    urls = ("http://a", "http://b")
    assert len({delivery_id_of(OPEN.incident_id, event, url) for event, _ in events for url in urls}) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://example.org/", "secret": SECRET},
        {"url": "https://user:pass@example.org/", "secret": SECRET},
        {"url": "https://example.org/", "secret": "secret"},
        {"url": "https://example.org/", "secret": "whsec_c2hvcnQ="},
        {"url": "https://example.org/", "secret": SECRET, "events": []},
    ],
)
def test_wrong_webhooks_stop_the_start_and_show_no_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Webhook.model_validate(wrong)
    assert SECRET not in repr(Webhook.model_validate({"url": "https://example.org/", "secret": SECRET}))


@given(hostile)
def test_a_message_says_what_was_there_as_json(text: str) -> None:
    incident = replace(OPEN, title=text, summary=text, dimensions={"user": text}, evidence=(text,))
    message = to_message(incident, "incident.opened", NOW, "http://127.0.0.1:8501")
    data = json.loads(message.body.encode())["data"]
    assert data["incident"]["title"] == text
    assert data["incident"]["dimensions"] == {"user": text}
    # Links stay this dashboard's, whatever an id says.
    (link,) = data["links"]["traces"]
    assert re.fullmatch(r"http://127\.0\.0\.1:8501/traces\?trace=[\w.~%-]*", link, re.ASCII)
