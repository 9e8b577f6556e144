"""Slack's bot changes what it has posted; apprise sends what has no channel; a trial says what was."""

from __future__ import annotations

import importlib.util
import json
import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmtrace_analysis.alerts.channels.from_settings import ChannelUnusable
from llmtrace_cli.main import cli

from .alert_receivers import Received, Reply, http_receiver, json_reply
from .test_channels import channel_of, message, nothing_secret, settings_of, success


class Workspace:
    """A channel of Slack, as far as its API goes."""

    def __init__(self, may_read: bool = True) -> None:
        self.posts: dict[str, dict[str, Any]] = {}
        self.may_read = may_read
        self.calls: list[str] = []

    def reply(self, received: Received) -> Reply:
        method = received.path.partition("?")[0].rpartition("/")[2]
        self.calls.append(method)
        if not received.headers["Authorization"].startswith("Bearer xoxb-"):
            return json_reply({"ok": False, "error": "invalid_auth"})
        if method == "conversations.history":
            if not self.may_read:
                return json_reply({"ok": False, "error": "missing_scope"})
            return json_reply({"ok": True, "messages": list(self.posts.values())})
        post = received.json
        if method == "chat.update" and post["ts"] not in self.posts:
            return json_reply({"ok": False, "error": "message_not_found"})
        ts = post.get("ts") or f"17000000{len(self.posts):02}.000100"
        self.posts[ts] = {**post, "ts": ts}
        return json_reply({"ok": True, "channel": "C1", "ts": ts})

    @property
    def texts(self) -> list[str]:
        return [post["text"].partition(" ")[2].partition(" ")[0] for post in self.posts.values()]


EVENTS = ("incident.opened", "incident.acknowledged", "incident.resolved")


def test_slacks_bot_updates_its_post_also_after_a_restart() -> None:
    workspace = Workspace()
    with http_receiver(workspace.reply) as receiver:
        configured = settings_of("slack-bot", receiver.url, "t")
        channel = channel_of(configured)
        for event in EVENTS[:2]:
            assert channel.send(message(event)).ok
        assert workspace.calls == ["chat.postMessage", "chat.update"]
        assert workspace.texts == ["Acknowledged"]
        assert channel_of(configured).send(message("incident.resolved")).ok
    assert workspace.calls[2:] == ["conversations.history", "chat.update"]
    assert workspace.texts == ["Resolved"]


def test_slacks_bot_posts_anew_what_it_does_not_find() -> None:
    workspace = Workspace()
    with http_receiver(workspace.reply) as receiver:
        channel = channel_of(settings_of("slack-bot", receiver.url, "t"))
        assert channel.send(message("incident.opened")).ok
        workspace.posts.clear()  # somebody has deleted it
        assert channel.send(message("incident.resolved")).ok
        assert workspace.texts == ["Resolved"]
        workspace.may_read = False
        assert channel_of(settings_of("slack-bot", receiver.url, "t")).send(message("incident.resolved")).ok
    assert workspace.texts == ["Resolved", "Resolved"]


def test_slacks_webhook_posts_each_event_anew() -> None:
    with http_receiver(lambda received: success("slack")) as receiver:
        channel = channel_of(settings_of("slack", receiver.url, "x" * 20))
        for event in EVENTS:
            assert channel.send(message(event)).ok
        assert len(receiver.requests()) == 3


def apprise_settings(url: str, secret: str, **fields: Any) -> Any:
    host = url.removeprefix("http://")
    configured = settings_of("teams", url, secret, **fields)
    row = configured.channels[0].model_copy(update={"kind": "apprise"})
    row = type(row).model_validate({"name": "ops", "kind": "apprise", "url": f"json://{host}/{secret}"})
    return configured.model_copy(update={"channels": (row,), "webhook_timeout_seconds": 20.0})


def test_apprise_sends_what_has_no_channel(caplog: pytest.LogCaptureFixture) -> None:
    secret = secrets.token_hex(20)
    with http_receiver(lambda received: Reply()) as receiver, nothing_secret(secret, caplog) as seen:
        outcome = channel_of(apprise_settings(receiver.url, secret)).send(message("incident.opened"))
        assert outcome.ok, outcome
        (request,) = receiver.requests()
        assert request.path == f"/{secret}"
        assert request.json["title"].startswith("Open (critical): Latency of gpt-4o-mini")
        assert "2027-01-15 07:59:00" in request.json["message"]
        assert request.json["type"] == "failure"
        receiver.reply = lambda received: Reply(500, secret.encode())
        failed = channel_of(apprise_settings(receiver.url, secret)).send(message("incident.opened"))
        assert not failed.ok
        receiver.reply = lambda received: Reply(after=10)
        slow = apprise_settings(receiver.url, secret).model_copy(update={"webhook_timeout_seconds": 1.5})
        late = channel_of(slow).send(message("incident.opened"))
        assert "Timeout" in late.error
        seen += [outcome, failed, late]


def test_apprise_says_what_to_install_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ChannelUnusable, match=r"llmtrace\[alerts\]"):
        channel_of(apprise_settings("http://localhost:9", "s" * 20))


def toml(folder: Path, url: str, secret: str) -> str:
    file = folder / "llmtrace.toml"
    rows = {
        "ops": {"kind": "wecom", "url": f"{url}/send?key={secret}", "allow_private": "true"},
        "pager": {"kind": "pagerduty", "secret_env": "LLMTRACE_TEST_NO_KEY"},
    }
    lines = []
    for name, row in rows.items():
        lines += ["[[watch.channels]]", f'name = "{name}"']
        lines += [f"{key} = {value if value == 'true' else json.dumps(value)}" for key, value in row.items()]
    file.write_text("\n".join(lines))
    return str(file)


def test_a_channel_is_tried_from_the_command_line(tmp_path: Path) -> None:
    secret = secrets.token_hex(20)
    with http_receiver(lambda received: success("wecom")) as receiver:
        file = toml(tmp_path, receiver.url, secret)
        listed = CliRunner().invoke(cli, ["--config", file, "alerts", "channels", "--format", "json"])
        assert listed.exit_code == 0, listed.output
        assert [(row["name"], row["leads_to"]) for row in json.loads(listed.output)] == [
            ("ops", "localhost"),
            ("pager", "events.pagerduty.com"),
        ]
        tried = CliRunner().invoke(cli, ["--config", file, "alerts", "test", "ops"])
        assert tried.exit_code == 0, tried.output
        assert "incident.opened → wecom:ops (localhost): taken, answered 200" in tried.output
        opened, resolved = receiver.requests()
        assert "Test message of llmtrace: nothing is wrong" in opened.json["markdown"]["content"]
        assert "Resolved" in resolved.json["markdown"]["content"]
        receiver.reply = lambda received: json_reply({"errcode": 93000, "errmsg": f"invalid {secret}"})
        refused = CliRunner().invoke(cli, ["--config", file, "alerts", "test", "ops"])
        assert refused.exit_code == 1
        assert "not taken, errcode 93000: invalid [secret]" in refused.output
        assert len(receiver.requests()) == 1, "what was not opened is not resolved"
        missing = CliRunner().invoke(cli, ["--config", file, "alerts", "test", "pager"])
        assert missing.exit_code == 1
        assert "$LLMTRACE_TEST_NO_KEY" in missing.output
        unknown = CliRunner().invoke(cli, ["--config", file, "alerts", "test", "nobody"])
        assert unknown.exit_code == 2
        assert "ops, pager" in unknown.output
    for result in (listed, tried, refused, missing, unknown):
        assert secret not in result.output


def test_watch_does_not_start_with_a_channel_that_cannot_be_used(tmp_path: Path) -> None:
    file = toml(tmp_path, "http://localhost:9", "s" * 20)
    result = CliRunner().invoke(cli, ["--config", file, "watch"])
    assert result.exit_code == 1
    assert "[[watch.channels]] pager" in result.output


def answer_of(service: str, received: Received) -> Reply:
    return success(service)


def test_an_opened_incident_without_a_title_has_one_for_every_service() -> None:
    nameless = message("incident.opened")
    nameless = replace(nameless, incident=replace(nameless.incident, title="", summary=""))
    for service in ("slack", "teams", "pagerduty", "jsm", "wecom", "dingtalk", "feishu"):
        with http_receiver(partial(answer_of, service)) as receiver:
            assert channel_of(settings_of(service, receiver.url, "s" * 20)).send(nameless).ok
