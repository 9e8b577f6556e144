"""Settings of whom alerts are sent to: the rows of [[watch.webhooks]] and [[watch.channels]]."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

WebhookEvent = Literal["incident.opened", "incident.acknowledged", "incident.resolved"]
ChannelKind = Literal[
    "webhook", "slack", "teams", "pagerduty", "jsm", "alertmanager", "email", "wecom", "dingtalk", "feishu",
    "apprise",
]  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADDRESS = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]{1,255}")
_MOST_SECRET_BYTES = 4096

#: Where a service is when no url is named.
DEFAULT_URLS: Mapping[str, str] = MappingProxyType(
    {
        "slack": "https://slack.com/api",
        "pagerduty": "https://events.pagerduty.com/v2/enqueue",
        "jsm": "https://api.atlassian.com/jsm/ops/integration/v2/alerts",
    }
)

#: What a kind cannot do without, and what else it takes. `secret` and `url` each mean one of three settings.
_NEEDS: Mapping[str, Collection[str]] = MappingProxyType(
    {
        "webhook": ("url", "secret"),
        "slack": (),
        "teams": ("url",),
        "pagerduty": ("secret",),
        "jsm": ("secret",),
        "alertmanager": ("url",),
        "email": ("url", "sender", "recipients"),
        "wecom": ("url",),
        "dingtalk": ("url",),
        "feishu": ("url",),
        "apprise": ("url",),
    }
)
_TAKES: Mapping[str, Collection[str]] = MappingProxyType(
    {
        "webhook": (),
        "slack": ("url", "secret", "slack_channel"),
        "teams": (),
        "pagerduty": ("url",),
        "jsm": ("url",),
        "alertmanager": ("secret", "username", "message_format"),
        "email": ("secret", "username"),
        "wecom": (),
        "dingtalk": ("secret",),
        "feishu": ("secret",),
        "apprise": (),
    }
)
_SETTINGS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"url": ("url", "url_env", "url_file"), "secret": ("secret", "secret_env", "secret_file")}
)
_SCHEMES: Mapping[str, Collection[str]] = MappingProxyType({"email": ("smtp", "smtps")})
#: Those whose address is all that it takes to write there: the address is the secret.
SECRET_URLS = frozenset({"slack", "teams", "wecom", "dingtalk", "feishu", "apprise"})


class SecretMissing(ValueError):
    """A secret is not where a channel's settings say it is; the message says where that is."""


class Webhook(BaseModel):
    """One receiver of incidents, addressed as Standard Webhooks (standardwebhooks.com) describe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="http(s) address that events are POSTed to.")
    secret: SecretStr = Field(
        description="Signing secret shared with the receiver: `whsec_` and base64 of 24 to 64 random bytes."
    )
    events: tuple[WebhookEvent, ...] = Field(
        default=("incident.opened", "incident.resolved"),
        min_length=1,
        description="Events to send; also possible: incident.acknowledged.",
    )
    allow_private: bool = Field(
        default=False, description="Whether this url may lead to a loopback or private address."
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a http:// or https:// address with a host")
        if parts.username or parts.password:
            raise ValueError("must not carry user or password: receivers verify the signature instead")
        return url

    @field_validator("secret")
    @classmethod
    def _is_signing_secret(cls, secret: SecretStr) -> SecretStr:
        demand_signing_secret(secret.get_secret_value())
        return secret


def demand_signing_secret(text: str) -> None:
    """Raise ValueError, which says how to make one, where a text is no secret of Standard Webhooks."""
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not text.startswith("whsec_") or not 24 <= size <= 64:
        raise ValueError(
            "must be `whsec_` and base64 of 24 to 64 bytes; "
            'make one with: python -c "import base64, secrets; '
            "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
        )


class ChannelSettings(BaseModel):
    """One channel: a service, where it is, and what it takes to write there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(description="What routes, commands and logs call it: letters, digits, _ . and -.")
    kind: ChannelKind = Field(
        description="webhook, slack, teams, pagerduty, jsm, alertmanager, email, wecom, dingtalk, feishu or "
        "apprise."
    )
    url: SecretStr | None = Field(
        default=None,
        description="Address to write to, never shown: http(s); mail: smtp:// (with STARTTLS) or smtps://. "
        "pagerduty and jsm have one already, and slack with a bot token.",
    )
    url_env: str = Field(default="", description="Variable of the environment with that address.")
    url_file: Path | None = Field(default=None, description="File with that address.")
    secret: SecretStr | None = Field(
        default=None,
        description="Signing secret (webhook, dingtalk, feishu), bot token (slack), integration key "
        "(pagerduty, jsm), bearer token or password (alertmanager), password (email).",
    )
    secret_env: str = Field(default="", description="Variable of the environment with that secret.")
    secret_file: Path | None = Field(default=None, description="File with that secret.")
    events: tuple[WebhookEvent, ...] = Field(
        default=("incident.opened", "incident.acknowledged", "incident.resolved"),
        min_length=1,
        description="Events to send.",
    )
    slack_channel: str = Field(
        default="", description="slack with a bot token: id of the channel to write to (C…)."
    )
    message_format: Literal["api", "webhook"] = Field(
        default="api",
        description="alertmanager: api posts alerts to an Alertmanager, webhook posts what an Alertmanager "
        "sends (version 4).",
    )
    username: str = Field(default="", description="alertmanager, email: user that the password is of.")
    sender: str = Field(default="", description="email: address that messages come from.")
    recipients: tuple[str, ...] = Field(default=(), description="email: addresses that they go to.")
    allow_private: bool = Field(
        default=False, description="Whether the url may lead to a loopback or private address."
    )
    allow_plain_text: bool = Field(
        default=False, description="email: whether smtp:// may do without STARTTLS, so without encryption."
    )
    certificate: Path | None = Field(
        default=None, description="PEM file of an authority to trust besides this machine's."
    )
    proxy: SecretStr | None = Field(
        default=None,
        description="http:// address of a proxy to connect through, with user:password@ where it asks.",
    )

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("must be 1 to 64 letters, digits, _ . or -, a letter or digit first")
        return name

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            parts = urlsplit(proxy.get_secret_value())
            if parts.scheme != "http" or not parts.hostname:
                raise ValueError("must be a http:// address with a host")
        return proxy

    @field_validator("sender")
    @classmethod
    def _is_address(cls, sender: str) -> str:
        if sender and not _ADDRESS.fullmatch(sender):
            raise ValueError("must be an e-mail address")
        return sender

    @field_validator("recipients")
    @classmethod
    def _are_addresses(cls, recipients: tuple[str, ...]) -> tuple[str, ...]:
        for address in recipients:
            if not _ADDRESS.fullmatch(address):
                raise ValueError("must be e-mail addresses")
        return recipients

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needs, takes = _NEEDS[self.kind], {*_NEEDS[self.kind], *_TAKES[self.kind]}
        for name in ("url", "secret"):
            if len([setting for setting in _SETTINGS_OF[name] if getattr(self, setting)]) > 1:
                raise ValueError(f"{self.name}: set one of {', '.join(_SETTINGS_OF[name])}, not several")
        for name in ("url", "secret", "sender", "recipients", "username", "slack_channel"):
            is_set = any(getattr(self, setting) for setting in _SETTINGS_OF.get(name, (name,)))
            if is_set and name not in takes:
                raise ValueError(f"{self.name}: {self.kind} takes no {name}")
            if not is_set and name in needs:
                settings = " or ".join(_SETTINGS_OF.get(name, (name,)))
                raise ValueError(f"{self.name}: {self.kind} needs {settings}")
        if self.kind == "slack" and not (self._has("url") or self.slack_channel):
            raise ValueError(
                f"{self.name}: slack needs the url of an incoming webhook, or a bot token as secret and the "
                "id of its slack_channel"
            )
        if self.kind == "slack" and bool(self.slack_channel) != self._has("secret"):
            raise ValueError(f"{self.name}: slack_channel and the bot token as secret go together")
        if self.url is not None:
            self._demand_url(self.url.get_secret_value())
        if self.kind == "webhook" and self.secret is not None:
            demand_signing_secret(self.secret.get_secret_value())
        return self

    @property
    def is_bot(self) -> bool:
        """Whether it is Slack by a bot token, which can change what it has posted."""
        return self.kind == "slack" and bool(self.slack_channel)

    def find_url(self) -> str:
        """The address in effect. Raises SecretMissing."""
        text = self._find("url") or DEFAULT_URLS.get(self.kind, "")
        self._demand_url(text)
        return text

    def find_secret(self) -> str:
        """The secret in effect; empty where none is named. Raises SecretMissing."""
        text = self._find("secret")
        if self.kind == "webhook":
            try:
                demand_signing_secret(text)
            except ValueError as error:
                raise SecretMissing(f"the secret of channel {self.name} {error}") from None
        return text

    @property
    def url_origin(self) -> str:
        """Where the address comes from, in words that hold no secret."""
        return self._origin("url") or "the service's own"

    @property
    def secret_origin(self) -> str:
        """Where the secret comes from, in words; empty where there is none."""
        return self._origin("secret")

    def _has(self, name: str) -> bool:
        return any(getattr(self, setting) for setting in _SETTINGS_OF[name])

    def _origin(self, name: str) -> str:
        inline, variable, file = (getattr(self, setting) for setting in _SETTINGS_OF[name])
        if inline is not None:
            return "the settings"
        return f"${variable}" if variable else str(file or "")

    def _find(self, name: str) -> str:
        inline, variable, file = (getattr(self, setting) for setting in _SETTINGS_OF[name])
        if inline is not None:
            text: str = inline.get_secret_value()
        elif variable:
            text = os.environ.get(variable, "")
        elif file is not None:
            try:
                text = file.read_text(encoding="utf-8")[:_MOST_SECRET_BYTES]
            except (OSError, UnicodeDecodeError) as error:
                raise SecretMissing(
                    f"{name}_file {file} of channel {self.name} cannot be read ({type(error).__name__})"
                ) from None
        else:
            return ""
        text = text.strip()
        # Anything else would break the request, and the error would show it.
        if not text or not text.isascii() or not text.isprintable():
            raise SecretMissing(
                f"there is no {name} for channel {self.name} in {self._origin(name)}: it must be printable "
                "ASCII on one line"
            )
        return text

    def _demand_url(self, text: str) -> None:
        if self.kind == "apprise":
            if "://" not in text:
                raise SecretMissing(f"the url of channel {self.name} must be one of apprise: service://…")
            return
        schemes = _SCHEMES.get(self.kind, ("http", "https"))
        parts = urlsplit(text)
        try:
            _ = parts.port
        except ValueError:
            raise SecretMissing(f"the url of channel {self.name} has no valid port") from None
        if parts.scheme not in schemes or not parts.hostname or not text.isascii() or not text.isprintable():
            names = " or ".join(f"{scheme}://" for scheme in schemes)
            raise SecretMissing(f"the url of channel {self.name} must be a {names} address with a host")
        if parts.username or parts.password:
            raise SecretMissing(
                f"the url of channel {self.name} must not carry user or password: set username and secret"
            )


def demand_unique_names(channels: Collection[ChannelSettings]) -> None:
    """Raise ValueError where two channels have one name."""
    names = [channel.name for channel in channels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two channels are called {twice[0]}: names must differ")
