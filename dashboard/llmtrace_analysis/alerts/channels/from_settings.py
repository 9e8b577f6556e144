"""Channels as the settings describe them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from llmtrace_analysis.channel_settings import SECRET_URLS, ChannelSettings, SecretMissing, Webhook
from llmtrace_analysis.settings import WatchSettings

from .alertmanager import AlertmanagerChannel, AlertmanagerWebhook, authorization_of
from .apprise_channel import AppriseChannel
from .base import Channel
from .chinese_chats import DingTalkChannel, FeishuChannel, WeComChannel
from .email_channel import EmailChannel
from .http_sender import HttpSender
from .jsm import JsmChannel
from .pagerduty import PagerDutyChannel
from .redaction import secrets_of_url
from .slack import SlackBot, SlackWebhook
from .teams import TeamsChannel
from .webhook import WebhookChannel


class ChannelUnusable(ValueError):
    """A channel cannot be made of its settings; the message names it and the remedy, and holds no secret."""


def host_of(settings: ChannelSettings) -> str:
    """The host that a channel leads to; empty where it is not known, or part of a secret."""
    try:
        return "" if settings.kind == "apprise" else urlsplit(settings.find_url()).hostname or ""
    except SecretMissing:
        return ""


def label_of(settings: ChannelSettings) -> str:
    """What people see of where a channel leads: its kind, its name and the host."""
    host = host_of(settings)
    return f"{settings.kind}:{settings.name}" + (f" ({host})" if host else "")


def channel_names(settings: WatchSettings) -> list[str]:
    """What every channel of the settings is called: webhooks by their number and host, the others by name."""
    webhooks = [f"{number} {urlsplit(row.url).netloc}" for number, row in enumerate(settings.webhooks, 1)]
    return [*webhooks, *(row.name for row in settings.channels)]


def channel_named(settings: WatchSettings, name: str) -> Channel:
    """The channel of that name. Raises ChannelUnusable, and KeyError where there is none."""
    rows: tuple[Webhook | ChannelSettings, ...] = (*settings.webhooks, *settings.channels)
    row = dict(zip(channel_names(settings), rows, strict=True))[name]
    allow_private, timeout = settings.allow_private_webhooks, settings.webhook_timeout_seconds
    if isinstance(row, Webhook):
        return channel_of_webhook(row, allow_private=allow_private, timeout_seconds=timeout)
    return channel_of(row, allow_private=allow_private, timeout_seconds=timeout)


def channel_of_webhook(webhook: Webhook, *, allow_private: bool, timeout_seconds: float) -> Channel:
    """The channel of a row of [[watch.webhooks]]."""
    secret = webhook.secret.get_secret_value()
    sender = HttpSender(
        allow_private=webhook.allow_private or allow_private,
        timeout_seconds=timeout_seconds,
        secrets=_secrets(secret, webhook.url),
        reads_body=False,
    )
    return WebhookChannel(webhook.url, secret, webhook.events, sender)


def channel_of(settings: ChannelSettings, *, allow_private: bool, timeout_seconds: float) -> Channel:
    """The channel of a row of [[watch.channels]]. Raises ChannelUnusable where a secret, a certificate or a
    library is missing.
    """
    try:
        return _channel_of(settings, allow_private, timeout_seconds)
    except ValueError as error:
        raise ChannelUnusable(f"[[watch.channels]] {settings.name}: {error}") from error


def _channel_of(settings: ChannelSettings, allow_private: bool, timeout_seconds: float) -> Channel:
    url, secret = settings.find_url(), settings.find_secret()
    proxy = "" if settings.proxy is None else settings.proxy.get_secret_value()
    authorization = authorization_of(settings.username, secret)
    hides_url = settings.kind in SECRET_URLS or settings.kind == "webhook"
    secrets = [*_secrets(secret, url if hides_url else "")]
    secrets += [*_secrets("", proxy), *([authorization] if authorization else [])]
    name, events, label = settings.name, settings.events, label_of(settings)
    allowed = settings.allow_private or allow_private
    match settings.kind:
        case "email":
            return EmailChannel(
                name, label, events, url=url, sender=settings.sender, recipients=settings.recipients,
                username=settings.username, password=secret, allow_private=allowed,
                allow_plain_text=settings.allow_plain_text, certificate=settings.certificate, proxy=proxy,
                secrets=secrets, timeout_seconds=timeout_seconds,
            )  # fmt: skip
        case "apprise":
            return AppriseChannel(
                name, label, events, url=url, certificate=settings.certificate, proxy=proxy,
                secrets=secrets, timeout_seconds=timeout_seconds,
            )  # fmt: skip
    sender = HttpSender(
        allow_private=allowed,
        timeout_seconds=timeout_seconds,
        certificate=settings.certificate,
        proxy=proxy,
        secrets=secrets,
        reads_body=settings.kind != "webhook",
    )
    match settings.kind:
        case "webhook":
            return WebhookChannel(url, secret, events, sender)
        case "slack" if settings.is_bot:
            return SlackBot(name, label, events, sender, url, secret, settings.slack_channel)
        case "slack":
            return SlackWebhook(name, label, events, sender, url)
        case "teams":
            return TeamsChannel(name, label, events, sender, url)
        case "pagerduty":
            return PagerDutyChannel(name, label, events, sender, url, secret)
        case "jsm":
            return JsmChannel(name, label, events, sender, url, secret)
        case "alertmanager":
            kind = AlertmanagerChannel if settings.message_format == "api" else AlertmanagerWebhook
            return kind(name, label, events, sender, url, authorization)
        case "wecom":
            return WeComChannel(name, label, events, sender, url)
        case "dingtalk":
            return DingTalkChannel(name, label, events, sender, url, secret)
    return FeishuChannel(name, label, events, sender, url, secret)


def _secrets(secret: str, url: str) -> Sequence[str]:
    return [*([secret] if secret else []), *(secrets_of_url(url) if url else [])]
