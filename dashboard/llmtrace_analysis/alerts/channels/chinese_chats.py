"""WeCom, DingTalk and Feishu: bots of groups, which answer 200 whatever happened and say it in the body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, urlsplit

from llmtrace_analysis.alerts.messages import AlertMessage

from .base import Outcome
from .http_sender import Answer, HttpSender
from .service_channel import ServiceChannel, by_code, to_json
from .texts import Content, content_of, fit, to_full_width

#: Bytes: of WeCom's markdown.content, of DingTalk's whole body, of Feishu's whole body.
WECOM_BYTES, DINGTALK_BYTES, FEISHU_BYTES = 4096, 20_000, 20_000

#: Codes that say later. WeCom counts by the minute; DingTalk closes its ear for ten minutes, asked or not.
_WECOM_BUSY, _WECOM_PAUSE = (-1, 45009, 45033), 60.0
_DINGTALK_BUSY, _DINGTALK_PAUSE = (-1, 130101, 410100), 60.0
_FEISHU_BUSY, _FEISHU_PAUSE = (11232, 99991400), 60.0

_WECOM_COLOURS = {"Open": "warning", "Acknowledged": "comment", "Resolved": "info"}
_FEISHU_COLOURS = {"Open": "red", "Acknowledged": "yellow", "Resolved": "green"}


def markdown_of(content: Content, most_bytes: int, headline: str) -> str:
    """The event in the Markdown that these bots know, which has no escapes, within so many bytes of UTF-8.

    `headline`: the first line, formatted; links come whole or not at all.
    """
    links = [f"[{name}]({url})" for name, url in content.links if ")" not in url]
    lines = [headline]
    used = len(headline.encode()) + 2
    for link in links:
        if used + len(link.encode()) + 2 <= most_bytes:
            used += len(link.encode()) + 2
        else:
            links = links[: links.index(link)]
            break
    for name, value in [("", content.summary), *content.facts]:
        label = f"{to_full_width(name)}: " if name else ""
        room = min(most_bytes - used - len(label.encode()) - 2, most_bytes // 3)
        if value and room > 16:
            line = label + fit(value, room, to_full_width, in_bytes=True)
            used += len(line.encode()) + 2
            lines.append(line)
    return "\n\n".join([*lines, *links])


class WeComChannel(ServiceChannel):
    """A bot of a WeCom group; its address holds the key."""

    def __init__(self, name: str, label: str, events: Collection[str], sender: HttpSender, url: str) -> None:
        super().__init__(name, label, events, sender)
        self._url = url

    def send(self, message: AlertMessage) -> Outcome:
        """Post the event."""
        return self._post(self._url, wecom_payload(message), _wecom_judge)


def wecom_payload(message: AlertMessage) -> dict[str, Any]:
    """The event as WeCom takes it, of 4096 bytes at most."""
    content = content_of(message)
    title = fit(f"llmtrace: {content.headline}", 900, to_full_width, in_bytes=True)
    headline = f'<font color="{_WECOM_COLOURS[content.state]}">{title}</font>'
    return {"msgtype": "markdown", "markdown": {"content": markdown_of(content, WECOM_BYTES, headline)}}


class DingTalkChannel(ServiceChannel):
    """A bot of a DingTalk group; its address holds the token."""

    def __init__(
        self, name: str, label: str, events: Collection[str], sender: HttpSender, url: str, secret: str
    ) -> None:
        """`secret`: the signing secret (SEC…), empty where the bot has none."""
        super().__init__(name, label, events, sender)
        self._url, self._secret = url, secret

    def send(self, message: AlertMessage) -> Outcome:
        """Post the event, signed where there is a secret."""
        return self._post(self._signed(time.time()), dingtalk_payload(message), _dingtalk_judge)

    def _signed(self, now: float) -> str:
        if not self._secret:
            return self._url
        joint = "&" if urlsplit(self._url).query else "?"
        return f"{self._url}{joint}{dingtalk_signature(self._secret, int(now * 1000))}"


def dingtalk_signature(secret: str, milliseconds: int) -> str:
    """Parameters of the address: when, and the HMAC-SHA256 of that and the secret, by the secret."""
    digest = hmac.new(secret.encode(), f"{milliseconds}\n{secret}".encode(), hashlib.sha256).digest()
    return f"timestamp={milliseconds}&sign={quote(base64.b64encode(digest).decode(), safe='')}"


def dingtalk_payload(message: AlertMessage) -> dict[str, Any]:
    """The event as DingTalk takes it. It says llmtrace, which a bot may demand as a keyword."""
    content = content_of(message)
    title = fit(f"llmtrace: {content.headline}", 900, to_full_width, in_bytes=True)

    def payload(text: str) -> dict[str, Any]:
        return {"msgtype": "markdown", "markdown": {"title": title, "text": text}}

    # JSON writes some signs in two bytes or more, so that less text may fit than its own bytes say.
    most = DINGTALK_BYTES - 2000
    while len(to_json(payload(text := markdown_of(content, most, f"**{title}**")))) > DINGTALK_BYTES:
        most -= 2000
    return payload(text)


class FeishuChannel(ServiceChannel):
    """A bot of a group of Feishu or Lark; its address holds the key."""

    def __init__(
        self, name: str, label: str, events: Collection[str], sender: HttpSender, url: str, secret: str
    ) -> None:
        """`secret`: the signing secret, empty where the bot has none."""
        super().__init__(name, label, events, sender)
        self._url, self._secret = url, secret

    def send(self, message: AlertMessage) -> Outcome:
        """Post the event as a card, signed where there is a secret."""
        signature: dict[str, str] = {}
        if self._secret:
            signature = feishu_signature(self._secret, int(time.time()))
        return self._post(self._url, {**signature, **feishu_payload(message)}, _feishu_judge)


def feishu_signature(secret: str, seconds: int) -> dict[str, str]:
    """Fields of the body: when, and the HMAC-SHA256 of nothing by that and the secret."""
    digest = hmac.new(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return {"timestamp": str(seconds), "sign": base64.b64encode(digest).decode()}


def feishu_payload(message: AlertMessage) -> dict[str, Any]:
    """The event as a card; texts are plain, so that nothing in them formats."""
    content = content_of(message)
    fields = [
        {"is_short": True, "text": _plain_text(f"{fit(name, 100)}\n{fit(value, 400)}")}
        for name, value in content.facts[:16]
    ]
    buttons = [
        {"tag": "button", "text": _plain_text(name), "url": url, "type": "default"}
        for name, url in content.links
    ]
    elements: list[dict[str, Any]] = [
        {"tag": "div", "text": _plain_text(fit(content.summary, 4000, in_bytes=True) or content.headline)},
        {"tag": "action", "actions": buttons},
        {"tag": "div", "fields": fields},
    ]
    title = _plain_text(fit(f"llmtrace: {content.headline}", 900, in_bytes=True))
    card = {"header": {"title": title, "template": _FEISHU_COLOURS[content.state]}, "elements": elements}
    payload = {"msg_type": "interactive", "card": card}
    while len(to_json(payload)) > FEISHU_BYTES - 200 and fields:
        fields.pop()
    return payload


def _plain_text(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}


def _wecom_judge(answer: Answer) -> Outcome:
    return by_code(answer, "errcode", _WECOM_BUSY, _WECOM_PAUSE)


def _dingtalk_judge(answer: Answer) -> Outcome:
    return by_code(answer, "errcode", _DINGTALK_BUSY, _DINGTALK_PAUSE)


def _feishu_judge(answer: Answer) -> Outcome:
    return by_code(answer, "code", _FEISHU_BUSY, _FEISHU_PAUSE)
