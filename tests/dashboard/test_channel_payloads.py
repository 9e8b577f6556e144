"""What each channel sends: in the service's own form, escaped so that it reads back, within its limits."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
import unicodedata
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from slack_sdk.models.blocks import Block

from llmtrace_analysis.alerts.channels import (
    alertmanager,
    chinese_chats,
    email_channel,
    jsm,
    pagerduty,
    slack,
    teams,
)
from llmtrace_analysis.alerts.channels.service_channel import to_json
from llmtrace_analysis.alerts.channels.texts import (
    ELLIPSIS,
    fit,
    plain,
    to_full_width,
    to_html,
    to_markdown,
    to_mrkdwn,
)
from llmtrace_analysis.alerts.messages import AlertMessage, to_message
from llmtrace_analysis.channel_settings import WebhookEvent
from llmtrace_collector.store.incident import Incident
from tests.hostile_text import hostile

from .test_alerts import NOW, OPEN

EVENTS: tuple[WebhookEvent, ...] = ("incident.opened", "incident.acknowledged", "incident.resolved")
DASHBOARD = "https://llmtrace.example.org"


def message(incident: Incident = OPEN, event: WebhookEvent = "incident.opened") -> AlertMessage:
    if event != "incident.opened":
        incident = replace(incident, acknowledged_at=NOW - 30, acknowledged_by="ada")
    if event == "incident.resolved":
        incident = replace(incident, state="resolved", resolved_at=NOW - 5)
    return to_message(incident, event, NOW, DASHBOARD)


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    """With texts that would do something, of every length that an incident may have."""
    times = draw(st.sampled_from([1, 1, 40, 400]))
    names, values = hostile.map(lambda text: text[:64]), hostile.map(lambda text: (text * times)[:256])
    return replace(
        OPEN,
        title=(draw(hostile) * times)[:512],
        summary=(draw(hostile) * times)[:8192],
        project=(draw(hostile) * times)[:256],
        dimensions=draw(st.dictionaries(names, values, max_size=20)),
        evidence=tuple(f"{number:032x}" for number in range(draw(st.sampled_from([0, 2, 100])))),
    )


huge = replace(
    OPEN,
    title="模型<&>" * 100,
    summary="Ü*_`[模" * 1400,
    project="п" * 256,
    dimensions={f"name{number}": "模<" * 128 for number in range(32)},
    evidence=tuple(f"{number:032x}" for number in range(100)),
)

both = pytest.mark.parametrize("event", EVENTS)


def cut_of(text: str, whole: str) -> bool:
    """Whether a text is the whole, or its beginning with a sign that it was cut."""
    return text == whole or (text.endswith(ELLIPSIS) and whole.startswith(text[: -len(ELLIPSIS)]))


# Texts


@given(hostile)
def test_plain_texts_are_a_line_that_shows_all_it_has(text: str) -> None:
    line = plain(text)
    assert line == " ".join(line.split())
    assert not any(unicodedata.category(sign) in ("Cc", "Zl", "Zp", "Cs") for sign in line)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f]", line)


@given(hostile, st.integers(1, 60), st.booleans(), st.sampled_from([str, to_html, to_mrkdwn, to_markdown]))
def test_what_is_cut_is_within_the_limit_and_no_escape_is_cut_through(
    text: str, limit: int, in_bytes: bool, escape: Any
) -> None:
    text = plain(text)
    escaped = fit(text, limit, escape, in_bytes=in_bytes)
    assert (len(escaped.encode()) if in_bytes else len(escaped)) <= limit
    beginnings = {escape(text)} | {escape(text[:end]) + ELLIPSIS for end in range(len(text))} | {""}
    assert escaped in beginnings


@given(hostile)
def test_markdown_reads_back_as_what_was_said(text: str) -> None:
    line = plain(text)
    tokens = MarkdownIt("commonmark").parse(to_markdown(line))
    kinds = [token.type for token in tokens]
    assert kinds in ([], ["paragraph_open", "inline", "paragraph_close"]), kinds
    children = [child for token in tokens for child in token.children or ()]
    assert all(child.type in ("text", "text_special") for child in children)
    assert "".join(child.content for child in children) == line
    assert "{{" not in to_markdown(line)


@given(hostile)
def test_full_width_look_alikes_format_nothing_and_read_back(text: str) -> None:
    line = plain(text)
    escaped = to_full_width(line)
    assert not re.search(r"[<>\[\]`*_#!~|\\]", escaped)
    assert unicodedata.normalize("NFKC", escaped) == unicodedata.normalize("NFKC", line)


# Slack


@settings(max_examples=60)
@given(incidents(), st.sampled_from(EVENTS))
def test_slack_takes_the_blocks(incident: Incident, event: WebhookEvent) -> None:
    payload = slack.payload_of(message(incident, event))
    blocks = payload["blocks"]
    assert 1 < len(blocks) <= 50
    parsed = Block.parse_all(cast("Any", blocks))
    assert len(parsed) == len(blocks)
    for block, written in zip(parsed, blocks, strict=True):
        block.validate_json()
        assert {name: value for name, value in block.to_dict().items() if name in written} == written
    header, *rest = blocks
    assert cut_of(header["text"]["text"].partition(": ")[2], plain(incident.title))
    texts = [text for block in rest for text in (block.get("text"), *block.get("fields", ())) if text]
    for text in [*(text["text"] for text in texts), payload["text"]]:
        assert not re.search("[<>]", text)
        assert re.sub("&(amp|lt|gt);", "", text).find("&") == -1
    summary = [block for block in rest if block["type"] == "section" and "text" in block]
    if plain(incident.summary):
        assert cut_of(html.unescape(summary[0]["text"]["text"]), plain(incident.summary))
    assert len(payload["text"]) <= 3000
    (actions,) = [block for block in blocks if block["type"] == "actions"]
    assert actions["elements"][0]["url"] == f"{DASHBOARD}/incidents?incident={incident.incident_id}"
    assert f"from={int(incident.opened_at) - 300}&to=" in actions["elements"][1]["url"]


# Teams

#: Of version 1.4 of the published schema, what we use: type → (needed, allowed).
CARD = {
    "AdaptiveCard": ({"type", "version", "body"}, {"$schema", "actions", "msteams"}),
    "TextBlock": ({"type", "text"}, {"weight", "size", "color", "wrap"}),
    "FactSet": ({"type", "facts"}, set()),
    "Action.OpenUrl": ({"type", "url"}, {"title"}),
}
WORDS = {
    "weight": {"bolder", "default", "lighter"},
    "size": {"small", "default", "medium", "large", "extraLarge"},
    "color": {"attention", "warning", "good", "default", "accent", "dark", "light"},
}


def demand_card(element: dict[str, Any]) -> None:
    needed, allowed = CARD[element["type"]]
    assert needed <= element.keys() <= needed | allowed
    for name, words in WORDS.items():
        assert element.get(name, "default") in words
    for child in (*element.get("body", ()), *element.get("actions", ())):
        demand_card(child)
    for fact in element.get("facts", ()):
        assert fact.keys() == {"title", "value"}


@settings(max_examples=60)
@given(incidents(), st.sampled_from(EVENTS))
def test_teams_gets_an_adaptive_card(incident: Incident, event: WebhookEvent) -> None:
    payload = teams.payload_of(message(incident, event))
    assert len(to_json(payload)) <= 28_000
    assert payload["type"] == "message"
    (attachment,) = payload["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    demand_card(card)
    rendered = MarkdownIt("commonmark").renderInline(card["body"][0]["text"])
    assert cut_of(html.unescape(rendered).partition(": ")[2], plain(incident.title))


def test_teams_largest_card_is_below_its_limit() -> None:
    assert len(to_json(teams.payload_of(message(huge)))) <= 28_000


# PagerDuty

PAGERDUTY_SEVERITIES = {"critical", "error", "warning", "info"}


@settings(max_examples=40)
@given(incidents(), st.sampled_from(EVENTS))
def test_pagerduty_gets_events_of_one_dedup_key(incident: Incident, event: WebhookEvent) -> None:
    payload = pagerduty.payload_of(message(incident, event), "R" * 32)
    actions = {"incident.opened": "trigger", "incident.acknowledged": "acknowledge"}
    assert payload["event_action"] == actions.get(event, "resolve")
    assert payload["routing_key"] == "R" * 32
    assert payload["dedup_key"] == incident.incident_id
    assert len(to_json(payload)) < 512_000
    if event == "incident.opened":
        alert = payload["payload"]
        assert 0 < len(alert["summary"]) <= 1024
        assert cut_of(alert["summary"], plain(incident.title) or incident.rule)
        assert alert["source"]
        assert alert["severity"] in PAGERDUTY_SEVERITIES
        assert all(link["href"].startswith("https://") and link["text"] for link in payload["links"])


# Jira Service Management


@settings(max_examples=40)
@given(incidents())
def test_jira_gets_an_alert_within_its_limits(incident: Incident) -> None:
    alert = jsm.alert_of(message(incident))
    assert alert["alias"] == incident.incident_id
    assert 0 < len(alert["message"]) <= 130
    assert cut_of(html.unescape(alert["message"]), plain(incident.title) or incident.rule)
    assert len(alert["description"]) <= 15_000
    assert sum(len(name) + len(value) for name, value in alert["details"].items()) <= 8000
    assert alert["priority"] in ("P1", "P2", "P3", "P4", "P5")
    assert len(alert["entity"]) <= 512


# WeCom, DingTalk, Feishu


@settings(max_examples=40)
@given(incidents() | st.just(huge), st.sampled_from(EVENTS))
def test_chats_get_no_more_bytes_than_they_take(incident: Incident, event: WebhookEvent) -> None:
    event_message = message(incident, event)
    wecom = chinese_chats.wecom_payload(event_message)["markdown"]["content"]
    assert len(wecom.encode()) <= 4096
    assert f"[Incident]({DASHBOARD}/incidents?incident={incident.incident_id})" in wecom
    ding = chinese_chats.dingtalk_payload(event_message)
    assert len(to_json(ding)) <= 20_000
    assert "llmtrace" in ding["markdown"]["text"]
    feishu = {
        **chinese_chats.feishu_signature("s" * 40, 1_800_000_000),
        **chinese_chats.feishu_payload(event_message),
    }
    assert len(to_json(feishu)) <= 20_000
    # Of each, nothing but what we put there formats, mentions or leads somewhere.
    assert re.findall("<[^>]*>", wecom) == [wecom[: wecom.index(">") + 1], "</font>"]
    for text in (wecom, ding["markdown"]["text"]):
        assert all(url.startswith(f"({DASHBOARD}/") for url in re.findall(r"\]\s*(\([^)]*\))", text))
        assert "![" not in text
    assert all(
        part["tag"] == "plain_text"
        for part in walk(feishu)
        if isinstance(part.get("content"), str)
    )  # fmt: skip


def walk(value: Any) -> list[dict[str, Any]]:
    """Every object in a value."""
    if isinstance(value, dict):
        return [value, *(item for child in value.values() for item in walk(child))]
    return [item for child in value for item in walk(child)] if isinstance(value, list) else []


def test_the_signatures_are_those_that_the_services_compute() -> None:
    milliseconds, secret = 1_700_000_000_123, "SECabc"
    digest = hmac.new(secret.encode(), b"1700000000123\nSECabc", hashlib.sha256).digest()
    sign = base64.b64encode(digest).decode()
    escaped = sign.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    parameters = chinese_chats.dingtalk_signature(secret, milliseconds)
    assert parameters == f"timestamp=1700000000123&sign={escaped}"
    digest = hmac.new(b"1700000000\nabc", b"", hashlib.sha256).digest()
    assert chinese_chats.feishu_signature("abc", 1_700_000_000) == {
        "timestamp": "1700000000",
        "sign": base64.b64encode(digest).decode(),
    }


# Alertmanager


@settings(max_examples=40)
@given(incidents(), st.sampled_from(EVENTS))
def test_alertmanagers_webhook_shape(incident: Incident, event: WebhookEvent) -> None:
    payload = alertmanager.webhook_of(message(incident, event))
    assert payload["version"] == "4"
    assert payload["status"] == ("resolved" if event == "incident.resolved" else "firing")
    (alert,) = payload["alerts"]
    for name in (*alert["labels"], *alert["annotations"]):
        assert re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name)
    assert all(alert["labels"].values())
    assert alert["labels"]["incident"] == incident.incident_id
    same = alertmanager.webhook_of(message(incident, "incident.opened"))
    assert same["groupKey"] == payload["groupKey"]
    assert same["alerts"][0]["labels"] == alert["labels"]


# Mail


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert all(name == "href" and (value or "").startswith(DASHBOARD) for name, value in attrs)

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


@settings(max_examples=60)
@given(incidents(), st.sampled_from(EVENTS))
def test_mails_read_back_and_are_one_thread(incident: Incident, event: WebhookEvent) -> None:
    event_message = message(incident, event)
    mail = email_channel.mail_of(event_message, "llmtrace@example.org", ("a@example.org", "b@example.org"))
    read = message_from_bytes(mail.as_bytes(), policy=default)
    assert not read.defects
    assert set(read.keys()) <= {
        "Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
        "MIME-Version", "Content-Type",
    }  # fmt: skip
    # Without blanks: where a line of a header is folded, some readers see one more.
    title = "".join(str(read["Subject"]).partition(": ")[2].split())
    assert cut_of(title, "".join(plain(incident.title).split()))
    first = email_channel.mail_of(message(incident), "llmtrace@example.org", ("a@example.org",))["Message-ID"]
    assert (read["References"] or first) == first
    assert (read["Message-ID"] == first) is (event == "incident.opened")
    text, marked_up = (cast("EmailMessage", part).get_content() for part in read.iter_parts())
    assert plain(incident.summary) in text
    parser = Text()
    parser.feed(marked_up)
    assert set(parser.tags) <= {"html", "body", "h3", "p", "table", "tr", "td", "ul", "li", "a"}
    assert plain(incident.summary) in "".join(parser.pieces)


@both
def test_every_channel_says_the_period(event: WebhookEvent) -> None:
    event_message = message(event=event)
    line = [
        json.dumps(slack.payload_of(event_message)),
        json.dumps(teams.payload_of(event_message)),
        chinese_chats.wecom_payload(event_message)["markdown"]["content"],
        json.dumps(chinese_chats.dingtalk_payload(event_message)),
        json.dumps(chinese_chats.feishu_payload(event_message)),
        email_channel.mail_of(event_message, "a@example.org", ("b@example.org",)).as_string(),
    ]
    end = "07:59:55" if event == "incident.resolved" else "07:59:50"
    for text in line:
        assert re.search(f"2027-01-15 07:59:00 to {end} UTC", text.replace("\\-", "-").replace("=\n", ""))
