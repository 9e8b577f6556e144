"""Every channel against receivers that misbehave, over TLS, through a proxy; secrets stay where they are."""

from __future__ import annotations

import base64
import json
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from llmtrace_analysis.alerts.channels.base import Channel
from llmtrace_analysis.alerts.channels.from_settings import ChannelUnusable, channel_named, channel_names
from llmtrace_analysis.alerts.messages import to_message
from llmtrace_analysis.alerts.metrics import DeliveryMetrics
from llmtrace_analysis.channel_settings import ChannelSettings
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build_outbox
from tests.certificates import LOCAL, issue

from .alert_receivers import ConnectProxy, HttpReceiver, Received, Reply, http_receiver, json_reply
from .test_alerts import NOW, OPEN, RESOLVED, until

ACKNOWLEDGED = replace(OPEN, state="acknowledged", acknowledged_at=NOW - 30, acknowledged_by="ada")

#: Kind → the settings that hold a secret in their url, and those that hold it elsewhere.
SERVICES: Mapping[str, Callable[[str, str], dict[str, Any]]] = {
    "webhook": lambda url, secret: {"url": f"{url}/hook", "secret": whsec(secret)},
    "slack": lambda url, secret: {"url": f"{url}/services/T0/B0/{secret}"},
    "slack-bot": lambda url, secret: {
        "kind": "slack", "url": f"{url}/api", "secret": f"xoxb-{secret}", "slack_channel": "C1",
    },
    "teams": lambda url, secret: {"url": f"{url}/workflows/1/triggers/run?api-version=1&sig={secret}"},
    "pagerduty": lambda url, secret: {"url": f"{url}/v2/enqueue", "secret": secret},
    "jsm": lambda url, secret: {"url": f"{url}/jsm/ops/integration/v2/alerts", "secret": secret},
    "alertmanager": lambda url, secret: {"url": url, "secret": secret, "username": "watch"},
    "alertmanager-webhook": lambda url, secret: {
        "kind": "alertmanager", "message_format": "webhook", "url": f"{url}/hook", "secret": secret,
    },
    "wecom": lambda url, secret: {"url": f"{url}/cgi-bin/webhook/send?key={secret}"},
    "dingtalk": lambda url, secret: {"url": f"{url}/robot/send?access_token={secret}", "secret": secret},
    "feishu": lambda url, secret: {"url": f"{url}/open-apis/bot/v2/hook/{secret}", "secret": secret},
}  # fmt: skip
EVENTS = ("incident.opened", "incident.acknowledged", "incident.resolved")
SUCCESS = {
    "slack": Reply(200, b"ok"),
    "slack-bot": json_reply({"ok": True, "channel": "C1", "ts": "1700000000.000100"}),
    "teams": Reply(202),
    "pagerduty": json_reply({"status": "success", "message": "Event processed", "dedup_key": "k"}, 202),
    "jsm": json_reply({"result": "Request will be processed", "requestId": "r"}, 202),
    "wecom": json_reply({"errcode": 0, "errmsg": "ok"}),
    "dingtalk": json_reply({"errcode": 0, "errmsg": "ok"}),
    "feishu": json_reply({"code": 0, "msg": "success", "data": {}}),
}
#: 200, and an error in the body: (answer, whether it refuses the message).
IN_BODY: Mapping[str, tuple[tuple[Reply, bool], ...]] = {
    "slack-bot": (
        (json_reply({"ok": False, "error": "msg_blocks_too_long"}), True),
        (json_reply({"ok": False, "error": "internal_error"}), False),
        (json_reply({"ok": False, "error": "invalid_auth"}), False),
    ),
    "wecom": (
        (json_reply({"errcode": 40058, "errmsg": "markdown.content exceed max length 4096"}), True),
        (json_reply({"errcode": 45009, "errmsg": "api freq out of limit"}), False),
    ),
    "dingtalk": (
        (json_reply({"errcode": 310000, "errmsg": "sign not match"}), True),
        (json_reply({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}), False),
    ),
    "feishu": (
        (json_reply({"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}), True),
        (json_reply({"code": 11232, "msg": "frequency limited"}), False),
    ),
}


def has_as_many(rows: list[Any], number: int) -> bool:
    return len(rows) == number


def whsec(secret: str) -> str:
    return "whsec_" + base64.b64encode(secret.encode()).decode()


def settings_of(service: str, url: str, secret: str, **fields: Any) -> WatchSettings:
    row = {"name": "ops", "kind": service, "allow_private": True, **SERVICES[service](url, secret), **fields}
    return WatchSettings.model_validate(
        {
            "channels": [row],
            "webhook_backoff_seconds": 0.01,
            "webhook_backoff_max_seconds": 0.05,
            "webhook_timeout_seconds": 2,
        }
    )


def channel_of(configured: WatchSettings) -> Channel:
    return channel_named(configured, "ops")


def always(reply: Reply) -> Callable[[Received], Reply]:
    return lambda received: reply


def success(service: str) -> Reply:
    return SUCCESS.get(service, Reply(200))


@pytest.fixture
def secret() -> str:
    return secrets.token_hex(20)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    issue(folder, "authority", "basicConstraints=critical,CA:TRUE")
    issue(folder, "server", LOCAL, signer="authority")
    issue(folder, "stranger", LOCAL)
    return folder


@contextmanager
def nothing_secret(secret: str, caplog: pytest.LogCaptureFixture) -> Iterator[list[object]]:
    """What is put into the list, and everything that is logged, holds no secret."""
    seen: list[object] = []
    with caplog.at_level(logging.DEBUG):
        yield seen
    forms = (
        secret,
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(f"watch:{secret}".encode()).decode(),
    )
    for form in forms:
        assert form not in caplog.text
        assert form not in repr(seen)


@pytest.mark.parametrize("service", SERVICES)
def test_every_event_is_delivered_and_no_secret_seen(
    service: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Through the queue: logs, metrics, records and messages."""
    with http_receiver(always(success(service))) as receiver, nothing_secret(secret, caplog) as seen:
        configured = settings_of(service, receiver.url, secret)
        recorded: list[dict[str, Any]] = []
        registry = CollectorRegistry()
        box = build_outbox(
            configured, recorded.append, DeliveryMetrics(registry), is_settled=lambda ids: False
        )
        box.start()
        with closing(box):
            for number, incident in enumerate(
                (OPEN, ACKNOWLEDGED, replace(ACKNOWLEDGED, state="resolved", resolved_at=NOW - 5)), 1
            ):
                box.sync([incident], {}, NOW)
                until(partial(has_as_many, recorded, number))
            seen += [recorded, generate_latest(registry), list(box.reasons()), box.receivers[0].state()]
        assert [(row["event"], row["ok"]) for row in recorded] == [(event, True) for event in EVENTS]
        for request in receiver.requests():
            body = request.body
            if service in ("pagerduty",):  # there the key is part of the body, and only that
                body = json.dumps({**request.json, "routing_key": ""}).encode()
            seen.append(body)
        seen.append(configured)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(500), {"is_refusal": False, "retry_after": None}),
        (Reply(503, headers={"Retry-After": "7"}), {"is_refusal": False, "retry_after": 7.0}),
        (Reply(429, headers={"Retry-After": "30"}), {"is_refusal": False, "retry_after": 30.0}),
        (Reply(400, b"no"), {"is_refusal": True, "retry_after": None}),
        (Reply(307, headers={"Location": "http://127.0.0.1:9/elsewhere"}), {"is_refusal": False}),
    ],
    ids=["500", "503", "429", "400", "307"],
)
def test_what_a_status_means(
    service: str, reply: Reply, expected: dict[str, object], secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with http_receiver(always(reply)) as receiver, nothing_secret(secret, caplog) as seen:
        outcome = channel_of(settings_of(service, receiver.url, secret)).send(message("incident.opened"))
        seen.append(outcome)
        assert len(receiver.requests()) == 1, "redirects are not followed"
    assert not outcome.ok
    assert outcome.status == reply.status
    for name, value in expected.items():
        assert getattr(outcome, name) == value, name


@pytest.mark.parametrize(
    ("service", "reply", "is_refusal"),
    [(service, reply, refuses) for service, cases in IN_BODY.items() for reply, refuses in cases],
)
def test_an_error_in_the_body_of_200_is_one(
    service: str, reply: Reply, is_refusal: bool, secret: str
) -> None:
    with http_receiver(always(reply)) as receiver:
        outcome = channel_of(settings_of(service, receiver.url, secret)).send(message("incident.opened"))
    assert not outcome.ok
    assert outcome.is_refusal is is_refusal
    if service != "slack-bot" and not is_refusal:
        assert outcome.retry_after == 60.0


@pytest.mark.parametrize("service", IN_BODY)
def test_a_page_of_somebody_in_between_is_no_success(service: str, secret: str) -> None:
    with http_receiver(always(Reply(200, b"<html>please log in</html>"))) as receiver:
        outcome = channel_of(settings_of(service, receiver.url, secret)).send(message("incident.opened"))
    assert not outcome.ok
    assert not outcome.is_refusal


@pytest.mark.parametrize("service", SERVICES)
def test_an_answer_that_echoes_the_secret_is_not_repeated(
    service: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(received: Received) -> Reply:
        text = f"{received.path} {received.headers} {received.body.decode()}"
        # Where an error is cut, no half of a secret may be left.
        start = max(0, text.find(secret) - 90)
        return json_reply(
            {"errcode": 7, "code": 7, "error": text[start:], "errmsg": text[start:], "msg": text}
        )

    with http_receiver(echo) as receiver, nothing_secret(secret[:10], caplog) as seen:
        seen.append(channel_of(settings_of(service, receiver.url, secret)).send(message("incident.opened")))


@pytest.mark.parametrize("service", SERVICES)
def test_a_receiver_that_is_down_or_slow(service: str, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    with nothing_secret(secret, caplog) as seen:
        with closing(socket.create_server(("127.0.0.1", 0))) as unused:
            port = unused.getsockname()[1]
        down = channel_of(settings_of(service, f"http://127.0.0.1:{port}", secret))
        outcome = down.send(message("incident.opened"))
        assert not outcome.ok
        assert "Connect" in outcome.error
        seen.append(outcome)
        with http_receiver(always(replace(success(service), after=5))) as receiver:
            configured = settings_of(service, receiver.url, secret)
            slow = channel_of(configured.model_copy(update={"webhook_timeout_seconds": 0.4}))
            started = time.monotonic()
            outcome = slow.send(message("incident.opened"))
            assert time.monotonic() - started < 3
        assert "Timeout" in outcome.error
        assert not outcome.is_refusal
        seen.append(outcome)


@pytest.mark.parametrize("service", SERVICES)
def test_certificates_are_checked_and_private_authorities_trusted(
    service: str, secret: str, certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = certificates / "authority.pem"
    with nothing_secret(secret, caplog) as seen:
        for certificate, trusted, expected in (
            ("server", None, False), ("server", authority, True), ("stranger", authority, False),
        ):  # fmt: skip
            with http_receiver(always(success(service)), certificates / f"{certificate}.pem") as receiver:
                configured = settings_of(service, receiver.url, secret, certificate=trusted)
                outcome = channel_of(configured).send(message("incident.opened"))
                assert outcome.ok is expected
                assert expected or "CERTIFICATE_VERIFY_FAILED" in outcome.error
                assert expected or not receiver.requests(), "nothing is sent to somebody else"
                seen.append(outcome)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("over_tls", [False, True])
def test_through_a_proxy(
    service: str, over_tls: bool, secret: str, certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = secrets.token_hex(16)
    certificate = certificates / "server.pem" if over_tls else None
    with (
        http_receiver(always(success(service)), certificate) as receiver,
        closing(ConnectProxy(password)) as proxy,
        nothing_secret(secret, caplog),
        nothing_secret(password, caplog) as seen,
    ):
        trusted = certificates / "authority.pem"
        configured = settings_of(service, receiver.url, secret, certificate=trusted, proxy=proxy.url)
        outcome = channel_of(configured).send(message("incident.opened"))
        assert outcome.ok, outcome
        assert proxy.connected == [f"localhost:{receiver.port}"]
        without_login = proxy.url.replace(f"alerts:{password}@", "")
        configured = settings_of(service, receiver.url, secret, certificate=trusted, proxy=without_login)
        refused = channel_of(configured).send(message("incident.opened"))
        assert not refused.ok
        assert len(proxy.connected) == 1
        seen += [outcome, refused]


@pytest.mark.parametrize("proxied", [False, True])
def test_private_addresses_are_refused_unless_allowed(proxied: bool, secret: str) -> None:
    with http_receiver(always(Reply())) as receiver, closing(ConnectProxy("p")) as proxy:
        url = receiver.url.replace("localhost", "127.0.0.1")
        way = {"proxy": proxy.url} if proxied else {}
        outcome = channel_of(settings_of("teams", url, secret, allow_private=False, **way)).send(
            message("incident.opened")
        )
        assert outcome.final
        assert "allow_private" in outcome.error
        assert not receiver.requests()
        assert not proxy.connected


def test_secrets_come_from_environment_or_file(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(f"{secret}\n")
    monkeypatch.setenv("PAGER_KEY", secret)
    for origin in ({"secret_env": "PAGER_KEY"}, {"secret_file": str(tmp_path / "key")}):
        row = ChannelSettings.model_validate({"name": "pager", "kind": "pagerduty", **origin})
        assert row.find_secret() == secret
        assert row.find_url() == "https://events.pagerduty.com/v2/enqueue"
    monkeypatch.setenv("PAGER_KEY", "")
    configured = WatchSettings.model_validate(
        {"channels": [{"name": "pager", "kind": "pagerduty", "secret_env": "PAGER_KEY"}]}
    )
    with pytest.raises(ChannelUnusable, match=r"pager.*\$PAGER_KEY"):
        channel_named(configured, "pager")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "webhook", "url": "https://example.org/SECRET", "secret": "SECRET"},
        {"kind": "slack"},
        {"kind": "slack", "slack_channel": "C1"},
        {"kind": "teams", "url": "ftp://example.org/SECRET"},
        {"kind": "teams", "url": "https://example.org/SECRET", "secret": "SECRET"},
        {"kind": "teams", "url": "https://user:SECRET@example.org/"},
        {"kind": "teams", "url": "https://example.org/SECRET", "url_env": "HOOK"},
        {"kind": "pagerduty"},
        {"kind": "email", "url": "smtp://mail.example.org"},
        {"kind": "email", "url": "https://e.org", "sender": "a@e.org", "recipients": ["b@e.org"]},
        {"kind": "email", "url": "smtp://e.org", "sender": "a@e.org\nBcc: SECRET", "recipients": ["b@e.org"]},
        {"kind": "feishu", "url": "https://example.org/SECRET", "proxy": "socks5://SECRET"},
        {"kind": "carrier pigeon"},
        {"name": "a b", "kind": "teams", "url": "https://example.org/SECRET"},
    ],
)  # fmt: skip
def test_wrong_channels_stop_the_start_and_show_no_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        ChannelSettings.model_validate({"name": "ops", **wrong})
    assert "SECRET" not in str(caught.value)


def test_names_are_unique_and_webhooks_stay_what_they_are(secret: str) -> None:
    row = {"name": "ops", "kind": "teams", "url": "https://example.org/x"}
    with pytest.raises(ValidationError, match="two channels are called ops"):
        WatchSettings.model_validate({"channels": [row, row]})
    configured = WatchSettings.model_validate(
        {"webhooks": [{"url": "https://hooks.example.org/x", "secret": whsec(secret)}], "channels": [row]}
    )
    assert channel_names(configured) == ["1 hooks.example.org", "ops"]


def test_a_webhook_among_the_channels_is_told_by_its_address(secret: str) -> None:
    """So that what was delivered before it became a channel is not delivered again."""
    url = "https://hooks.example.org/hook"
    as_webhook = WatchSettings.model_validate({"webhooks": [{"url": url, "secret": whsec(secret)}]})
    as_channel = settings_of("webhook", "https://hooks.example.org", secret)
    assert channel_named(as_webhook, "1 hooks.example.org").url == channel_named(as_channel, "ops").url == url


def message(event: str) -> Any:
    incident = {"incident.opened": OPEN, "incident.acknowledged": ACKNOWLEDGED}.get(event, RESOLVED)
    return to_message(incident, event, NOW, "http://127.0.0.1:8501")  # type: ignore[arg-type]


__all__ = ["HttpReceiver"]
