"""Alertmanager's API, by a real Alertmanager: an incident fires, is sent again while it lasts, and ends."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from llmtrace_analysis.alerts.channels import alertmanager
from llmtrace_analysis.alerts.channels.from_settings import channel_named
from llmtrace_analysis.alerts.messages import to_message
from llmtrace_analysis.alerts.metrics import DeliveryMetrics
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build_outbox
from llmtrace_collector.store.incident import Incident
from tests.collector.running import free_port

from .alert_receivers import HttpReceiver, Reply, http_receiver
from .test_alerts import OPEN, until

PROGRAM = shutil.which("prometheus-alertmanager")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="needs apt-get install prometheus-alertmanager"),
]


@dataclass
class Running:
    url: str
    notified: HttpReceiver

    def alerts(self) -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v2/alerts").raise_for_status().json()
        return alerts

    def notifications(self) -> list[tuple[str, str, str]]:
        """(status, title, severity) of every alert that receivers were notified of."""
        return [
            (alert["status"], alert["annotations"]["title"], alert["labels"]["severity"])
            for request in self.notified.requests()
            for alert in request.json["alerts"]
        ]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with http_receiver(lambda received: Reply()) as notified:
        (tmp_path / "alertmanager.yml").write_text(
            "route: {receiver: us, group_by: [incident], group_wait: 0s, group_interval: 1s}\n"
            f"receivers: [{{name: us, webhook_configs: [{{url: '{notified.url}', send_resolved: true}}]}}]\n"
        )
        port = free_port()
        assert PROGRAM is not None
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={tmp_path / 'alertmanager.yml'}",
                f"--storage.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: is_ready(url))
            yield Running(url, notified)
        finally:
            process.terminate()
            process.wait(10)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.HTTPError:
        return False


def settings(url: str) -> WatchSettings:
    return WatchSettings.model_validate(
        {"channels": [{"name": "am", "kind": "alertmanager", "url": url, "allow_private": True}]}
    )


def now_open(**fields: Any) -> Incident:
    now = time.time()
    return replace(OPEN, opened_at=now - 60, last_seen_at=now - 1, updated_at=now, **fields)


def test_an_incident_fires_and_ends(running: Running) -> None:
    channel = channel_named(settings(running.url), "am")
    incident = now_open(dimensions={"model": "gpt-4o-mini", "prompt-version": "<b>模型"})
    assert channel.send(to_message(incident, "incident.opened", incident.opened_at, "http://d")).ok
    until(lambda: len(running.alerts()) == 1)
    (alert,) = running.alerts()
    assert alert["labels"]["alertname"] == "anomaly.latency"
    assert alert["labels"]["prompt_version"] == "<b>模型"
    assert alert["generatorURL"] == f"http://d/incidents?incident={incident.incident_id}"
    noted: list[tuple[str, str, str]] = []

    def is_notified(times: int) -> bool:
        noted.extend(running.notifications())
        return len(noted) >= times

    until(lambda: is_notified(1))
    assert noted == [("firing", incident.title, "critical")]

    resolved = replace(incident, state="resolved", resolved_at=time.time())
    assert channel.send(to_message(resolved, "incident.resolved", resolved.ended_at, "http://d")).ok
    until(lambda: not running.alerts())
    until(lambda: is_notified(2))
    assert noted[1:] == [("resolved", incident.title, "critical")], "and nothing of the other severity"


@pytest.mark.parametrize("after_a_restart", [False, True])
def test_an_incident_that_escalates_is_one_alert(running: Running, after_a_restart: bool) -> None:
    channel = channel_named(settings(running.url), "am")
    warning = now_open(severity="warning")
    assert channel.send(to_message(warning, "incident.opened", warning.opened_at, "http://d")).ok
    until(lambda: len(running.alerts()) == 1)
    critical = replace(warning, severity="critical")
    restarted = channel_named(settings(running.url), "am") if after_a_restart else channel
    assert restarted.send(to_message(critical, "incident.acknowledged", time.time(), "http://d")).ok
    until(lambda: [alert["labels"]["severity"] for alert in running.alerts()] == ["critical"])


def test_what_lasts_is_sent_again_and_forgotten_when_it_is_not(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the times of minutes as tenths of seconds."""
    monkeypatch.setattr(alertmanager, "_LASTS_SECONDS", 1.0)
    monkeypatch.setattr(alertmanager.AlertmanagerChannel, "repeat_seconds", 0.2)
    recorded: list[dict[str, Any]] = []
    metrics = DeliveryMetrics(CollectorRegistry())
    box = build_outbox(settings(running.url), recorded.append, metrics, is_settled=lambda ids: False)
    incident = now_open()
    box.start()
    with closing(box):
        box.sync([incident], {}, time.time())
        until(lambda: len(recorded) == 1)
        box.sync([incident], {}, time.time())  # from here on it counts as delivered
        ends = {running.alerts()[0]["endsAt"]}
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            (alert,) = running.alerts()
            ends.add(alert["endsAt"])
            time.sleep(0.05)
        assert len(ends) > 3, "its end moves on"
        assert len(recorded) == 1, "repeats are no events"
    until(lambda: not running.alerts())


def test_alertmanager_refuses_what_it_cannot_read(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alertmanager, "labels_of", lambda message, severity: {"no-name": "x"})
    incident = now_open()
    channel = channel_named(settings(running.url), "am")
    outcome = channel.send(to_message(incident, "incident.opened", incident.opened_at, "http://d"))
    assert outcome.is_refusal
    assert outcome.status == 400
