"""Settings of the readers: the [watch] table of llmtrace.toml, and what the dashboard shares with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from llmtrace import semconv
from llmtrace.common.admin_key import AdminKeyMissing, find_admin_key
from llmtrace.common.tls import TlsFiles
from llmtrace_collector.pricing.currencies import ExchangeRate as ExchangeRate

from .billing_settings import BillingSource
from .channel_settings import ChannelSettings, demand_unique_names
from .channel_settings import Webhook as Webhook
from .channel_settings import WebhookEvent as WebhookEvent
from .rule_settings import AlertRule


class CollectorConnection(BaseModel):
    """Where the collector is, and what it wants of whoever reads or manages it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collector_url: str = Field(
        default="http://127.0.0.1:4318",
        description="Base URL of the collector. Unset: where [collector] of the same settings listens.",
    )
    read_key: SecretStr | None = Field(
        default=None,
        description="Read key, where the collector asks for one; the admin key serves otherwise.",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        description="Key of the collector's write endpoints; "
        "default: LLMTRACE_ADMIN_KEY, else data_dir/admin.key.",
    )
    data_dir: Path = Field(default=Path(".llmtrace"), description="Folder with the collector's admin.key.")
    certificate: Path | None = Field(
        default=None,
        description="PEM file with the collector's certificate or its authority's, trusted besides this "
        "machine's. Unset: [collector] tls_certificate of the same settings, else "
        "LLMTRACE_CERTIFICATE.",
    )
    client_certificate: Path | None = Field(
        default=None,
        description="PEM file to present where the collector demands client certificates. "
        "Unset: LLMTRACE_CLIENT_CERTIFICATE.",
    )
    client_key: Path | None = Field(
        default=None,
        description="PEM file with the client certificate's private key; unset: it is in the same file.",
    )

    def find_admin_key(self) -> str:
        """The admin key in effect. Raises AdminKeyMissing, which says where it could be."""
        return find_admin_key(self.data_dir, _text(self.admin_key))

    def effective_admin_key(self) -> str | None:
        """The admin key in effect; None where there is none (yet): the collector may still be starting."""
        try:
            return self.find_admin_key()
        except AdminKeyMissing:
            return None

    def effective_read_key(self) -> str | None:
        """The key to read with: the read key, else the admin key; None where there is neither (yet)."""
        return _text(self.read_key) or self.effective_admin_key()

    def effective_write_key(self) -> str | None:
        """The key to change things with; None where there is none (yet)."""
        return self.effective_admin_key()

    def tls_files(self) -> TlsFiles:
        """What to trust and present over TLS; what is unset is taken from the environment."""
        return TlsFiles(self.certificate, self.client_certificate, self.client_key).completed(os.environ)

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key is the key of a client_certificate: set that as well")
        return self


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


#: Constants of `detect.detectors.parameters` that were settings, each with its reason there. Who still sets
#: them is notified and they are ignored: with some of them moved, a number of false incidents means nothing.
_FORMER_THRESHOLDS = (
    "bucket_seconds",
    "late_seconds",
    "late_buckets",
    "min_calls",
    "min_history_buckets",
    "min_live_buckets",
    "window_buckets",
    "window_outside",
    "tail_buckets",
    "tail_outside",
    "band_width",
    "latency_ratio",
    "latency_floor_seconds",
    "error_floor",
    "error_ratio",
    "error_z",
    "error_chance",
    "min_errors",
    "tokens_ratio",
    "tokens_floor",
    "cost_ratio",
    "cost_floor_usd",
    "calm_buckets",
    "adapt_minutes",
)


class WatchSettings(CollectorConnection):
    """What watch detects, how sure it must be, and whom it notifies."""

    FORMER_SETTINGS: ClassVar[Mapping[str, str]] = dict.fromkeys(
        _FORMER_THRESHOLDS, "it is the same for everybody, and sensitivity says how sure an incident must be"
    )

    dashboard_url: str = Field(
        default="http://127.0.0.1:8501", description="Base URL of the dashboard, for links in webhooks."
    )
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Port of /health/live, /health/ready and /metrics; 0: none."
    )
    health_host: str = Field(default="127.0.0.1", description="Address that the health port listens on.")

    purposes: tuple[semconv.Purpose, ...] = Field(
        default=(semconv.PURPOSE_PRODUCT,),
        min_length=1,
        description=f"What calls must be for to open incidents ({', '.join(semconv.PURPOSES)}). "
        "Simulated calls are history besides; others are left out.",
    )
    interval_seconds: float = Field(
        default=3.0, gt=0, le=300, description="Time between two evaluations of the rules."
    )
    sensitivity: float = Field(
        default=1.0,
        ge=0.01,
        le=1000.0,
        description="False incidents a week that are accepted, of all anomaly rules and all watched series "
        "together: of those that nothing but chance opened. More finds smaller troubles sooner; "
        "`llmtrace watch backtest` says what a number would have meant on your own history.",
    )
    lookback_minutes: int = Field(
        default=60,
        ge=3,
        le=7 * 24 * 60,
        description="History that the ten-second rules and request floods compare with.",
    )
    rest_seconds: float = Field(
        default=300.0, ge=0, description="Time after an incident is resolved in which it is not opened anew."
    )
    update_seconds: float = Field(
        default=15.0, ge=0, description="Least time between two updates of an incident that goes on."
    )

    flood_window_seconds: int = Field(
        default=30, ge=10, multiple_of=10, description="Time over which a user's requests are counted."
    )
    flood_calls: int = Field(
        default=40, ge=1, description="Requests in that time below which no user is reported."
    )
    flood_ratio: float = Field(
        default=4.0, gt=1, description="Reported users send at least this many times what others usually do."
    )
    flood_width: float = Field(
        default=6.0, gt=0, description="… and more than the others' median plus this many robust deviations."
    )
    flood_min_users: int = Field(
        default=3,
        ge=1,
        description="Other users needed for that comparison; with fewer, flood_calls_alone holds.",
    )
    flood_calls_alone: int = Field(
        default=120,
        ge=1,
        description="Requests in that time that are reported where too few others are active.",
    )
    injection_hits: int = Field(
        default=3, ge=1, description="Messages of one user matching injection patterns that open an incident."
    )
    injection_window_seconds: int = Field(
        default=600, ge=10, description="Time over which such messages are counted."
    )

    access_window_seconds: int = Field(
        default=600,
        ge=60,
        le=86_400,
        description="Time over which refused keys and denied reads are counted.",
    )
    refused_keys: int = Field(
        default=100,
        ge=0,
        description="Refused keys from one address in that time that open an incident, ten times as many "
        "from all addresses; 0: none does.",
    )
    denied_reads: int = Field(
        default=30,
        ge=0,
        description="Denied reads of one key in that time that open an incident; 0: none does.",
    )
    new_addresses: int = Field(
        default=0,
        ge=0,
        description="New addresses of one key in that time that open an incident; 0: none does, since a key "
        "of many machines has new ones after every rollout.",
    )

    rules: tuple[AlertRule, ...] = Field(
        default=(),
        max_length=500,
        description="Alert rules and objectives of one's own ([[watch.rules]]).",
    )

    billing: tuple[BillingSource, ...] = Field(
        default=(),
        description="Whose usage APIs are asked for spend that no span explains ([[watch.billing]]).",
    )
    billing_check_hours: float = Field(
        default=6.0, gt=0, le=168, description="Time between two questions to the usage APIs."
    )
    billing_delay_hours: float = Field(
        default=24.0,
        ge=0,
        le=168,
        description="How long after its end (UTC) a day is judged: providers report late, and so do programs "
        "that were cut off. Azure's costs take up to 72.",
    )
    billing_days: int = Field(
        default=2, ge=1, le=30, description="The last closed days that each check judges."
    )
    unseen_usd: float = Field(
        default=1.0,
        ge=0,
        description="USD of one day that are billed and that no span explains, from which on there is an "
        "incident, …",
    )
    unseen_share: float = Field(
        default=0.02, ge=0, le=1, description="… where they are at least this share of what the day cost."
    )
    unseen_tokens: int = Field(
        default=1_000_000,
        ge=1,
        description="Such tokens of a day of models that have no price, from which on there is one too.",
    )

    webhooks: tuple[Webhook, ...] = Field(
        default=(), description="Receivers of incidents ([[watch.webhooks]])."
    )
    channels: tuple[ChannelSettings, ...] = Field(
        default=(),
        description="Whom alerts are sent to, by which service ([[watch.channels]]); webhooks are one kind.",
    )
    allow_private_webhooks: bool = Field(
        default=False,
        description="Whether every webhook may lead to a loopback or private address.",
    )
    webhook_timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        le=120,
        description="Deadline of an attempt, from the name's resolution to the answer.",
    )
    webhook_attempts: int = Field(
        default=6, ge=1, le=50, description="Refusals (4xx) in a row after which an event rests."
    )
    webhook_backoff_seconds: float = Field(
        default=2.0, gt=0, description="First pause after a failed attempt; doubles each time, with jitter."
    )
    webhook_backoff_max_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Longest pause between attempts; Retry-After may ask for more, up to an hour.",
    )
    webhook_rest_seconds: float = Field(
        default=300.0, ge=0, description="Rest before an event that was refused so often is tried again."
    )
    webhook_window_minutes: float = Field(
        default=1440.0,
        gt=0,
        description="Age after which an event that could not be delivered is given up, once the incident is "
        "over.",
    )
    webhook_backlog: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Messages that wait for a receiver at most; beyond that the oldest are given up, those "
        "of incidents that are over first.",
    )

    @field_validator("rules")
    @classmethod
    def _are_different(cls, rules: tuple[AlertRule, ...]) -> tuple[AlertRule, ...]:
        slugs = [rule.slug for rule in rules]
        if again := sorted({slug for slug in slugs if slugs.count(slug) > 1}):
            raise ValueError(f"two rules are called {again[0]!r} (letters, digits and hyphens count alone)")
        return rules

    @model_validator(mode="after")
    def _fits_together(self) -> WatchSettings:
        demand_unique_names(self.channels)
        return self
