"""Slack: an incoming webhook posts each event anew; a bot token updates what it has posted."""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection
from typing import Any

from llmtrace_analysis.alerts.messages import AlertMessage

from .base import Outcome
from .http_sender import Answer, HttpSender, Request, by_status
from .service_channel import ServiceChannel, json_object
from .texts import Content, content_of, fit, to_mrkdwn

_HEADER, _SECTION, _FIELD, _BUTTON, _URL, _FALLBACK = 150, 3000, 2000, 75, 3000, 2900
_MOST_FIELDS = 10
_METADATA = "llmtrace_incident"
#: Of posts of ours that a restarted watch looks through for the one about an incident.
_MOST_POSTS = 200
_MOST_KNOWN = 2000
#: Errors of the API that pass by themselves.
_PASSING = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
#: Errors that no message mends: the settings have to change.
_HOPELESS = frozenset(
    {
        "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope",
        "channel_not_found", "not_in_channel", "is_archived",
    }
)  # fmt: skip
_UNKNOWN_POST = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_CIRCLES = {
    "Open": ":red_circle:",
    "Acknowledged": ":large_yellow_circle:",
    "Resolved": ":large_green_circle:",
}


def blocks_of(content: Content) -> list[dict[str, Any]]:
    """The event as blocks of Slack's Block Kit; texts escaped and within its limits."""
    fields = [
        {
            "type": "mrkdwn",
            "text": f"*{fit(name, 100, to_mrkdwn)}*\n{fit(value, _FIELD - 200, to_mrkdwn)}",
            "verbatim": True,
        }
        for name, value in content.facts[:_MOST_FIELDS]
    ]
    buttons = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": fit(name, _BUTTON), "emoji": False},
            "url": url,
            "action_id": f"link_{number}",
        }
        for number, (name, url) in enumerate(content.links)
        if len(url) <= _URL
    ]
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": fit(content.headline, _HEADER), "emoji": False},
        }
    ]
    if content.summary:
        text = fit(content.summary, _SECTION, to_mrkdwn)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}})
    if fields:
        blocks.append({"type": "section", "fields": fields})
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return blocks


def payload_of(message: AlertMessage) -> dict[str, Any]:
    """What is posted; `text` is what notifications show."""
    content = content_of(message)
    circle = _CIRCLES[content.state]
    return {
        "text": f"{circle} {fit(content.headline, _FALLBACK, to_mrkdwn)}",
        "blocks": blocks_of(content),
        "unfurl_links": False,
        "unfurl_media": False,
    }


class SlackWebhook(ServiceChannel):
    """An incoming webhook of Slack, whose address is a secret."""

    def __init__(self, name: str, label: str, events: Collection[str], sender: HttpSender, url: str) -> None:
        super().__init__(name, label, events, sender)
        self._url = url

    def send(self, message: AlertMessage) -> Outcome:
        """Post the event. Answers are `ok` or a word about what is wrong, with a status that fits."""
        return self._post(self._url, payload_of(message))


class SlackBot(ServiceChannel):
    """A bot of Slack: one post per incident, changed in place by what happens to it."""

    def __init__(
        self,
        name: str,
        label: str,
        events: Collection[str],
        sender: HttpSender,
        url: str,
        token: str,
        slack_channel: str,
    ) -> None:
        """`url`: of the API; `slack_channel`: the id of the channel to write to."""
        super().__init__(name, label, events, sender)
        self._api, self._channel = url.rstrip("/"), slack_channel
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json; charset=utf-8",
        }
        self._posts: dict[str, str] = {}
        self._answered: dict[str, Any] = {}

    def send(self, message: AlertMessage) -> Outcome:
        """Post the incident, or update its post. Where that is gone, it is posted anew."""
        incident_id = message.incident.incident_id
        post = self._posts.get(incident_id) or self._earlier_post(message)
        payload = {
            **payload_of(message),
            "channel": self._channel,
            "metadata": {"event_type": _METADATA, "event_payload": {"incident": incident_id}},
        }
        if post:
            outcome = self._call("chat.update", {**payload, "ts": post})
            if self._answered.get("error") not in _UNKNOWN_POST:
                return outcome
            self._posts.pop(incident_id, None)
        outcome = self._call("chat.postMessage", payload)
        if outcome.ok and isinstance(self._answered.get("ts"), str):
            while len(self._posts) >= _MOST_KNOWN:
                self._posts.pop(next(iter(self._posts)))
            self._posts[incident_id] = self._answered["ts"]
        return outcome

    def _earlier_post(self, message: AlertMessage) -> str:
        """The post about an incident that an earlier watch has written; empty where there is none, or the bot
        may not read the channel. An opening that came first is not searched for.
        """
        if message.event == "incident.opened":
            return ""
        query = {
            "channel": self._channel,
            "oldest": f"{message.incident.opened_at:.6f}",
            "limit": str(_MOST_POSTS),
            "include_all_metadata": "true",
        }
        url = f"{self._api}/conversations.history?{urllib.parse.urlencode(query)}"
        outcome = self._sender.send(Request(url, b"", self._headers, method="GET"), self._judge)
        if not outcome.ok:
            return ""
        for post in self._answered.get("messages", []):
            metadata = post.get("metadata", {}) if isinstance(post, dict) else {}
            payload = metadata.get("event_payload", {}) if isinstance(metadata, dict) else {}
            if isinstance(payload, dict) and payload.get("incident") == message.incident.incident_id:
                self._posts[message.incident.incident_id] = str(post.get("ts", ""))
        return self._posts.get(message.incident.incident_id, "")

    def _call(self, method: str, payload: dict[str, Any]) -> Outcome:
        return self._post(f"{self._api}/{method}", payload, self._judge, self._headers)

    def _judge(self, answer: Answer) -> Outcome:
        """The API answers 200 with `ok` false; too many requests are a 429 with Retry-After."""
        self._answered = json_object(answer)
        if not 200 <= answer.status < 300:
            return by_status(answer)
        if self._answered.get("ok") is True:
            return Outcome(ok=True, status=answer.status)
        error = str(self._answered.get("error", "the answer is not Slack's"))
        return Outcome(
            ok=False,
            status=answer.status,
            error=f"Slack: {error}",
            retry_after=answer.retry_after,
            is_refusal="error" in self._answered and error not in _PASSING and error not in _HOPELESS,
            final=error in _HOPELESS,
        )
