"""Settings of the readers: the [watch] table of llmtrace.toml, and what the dashboard shares with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from llmtrace import semconv
from llmtrace.common.admin_key import AdminKeyMissing, find_admin_key
from llmtrace.common.tls import TlsFiles
from llmtrace_collector.pricing.currencies import ExchangeRate as ExchangeRate

from .billing_settings import BillingSource
from .channel_settings import ChannelSettings, demand_unique_names
from .channel_settings import Webhook as Webhook
from .channel_settings import WebhookEvent as WebhookEvent


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


class WatchSettings(CollectorConnection):
    """What watch detects, how sure it must be, and whom it notifies."""

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
    bucket_seconds: int = Field(
        default=10,
        ge=10,
        le=3600,
        multiple_of=10,
        description="Width of the time buckets that bands are made of; wider ones suit sparse traffic.",
    )
    lookback_minutes: int = Field(
        default=60, ge=2, le=7 * 24 * 60, description="History that a band is computed from."
    )
    late_seconds: float = Field(
        default=4.0, ge=0, le=300, description="How long after its end a bucket counts as complete."
    )
    late_buckets: int = Field(
        default=3,
        ge=0,
        le=60,
        description="Further complete buckets that are evaluated again, because slow calls report late.",
    )
    min_calls: int = Field(
        default=3, ge=1, description="Calls that a bucket needs to count, for or against an anomaly."
    )
    min_history_buckets: int = Field(
        default=12, ge=3, description="Buckets of history that a model needs before it is watched."
    )
    min_live_buckets: int = Field(
        default=1,
        ge=1,
        description="How many of them must hold calls for the watched purposes; they also form a band of "
        "their own.",
    )
    window_buckets: int = Field(
        default=3, ge=1, le=60, description="Neighbouring complete buckets that are evaluated together."
    )
    window_outside: int = Field(
        default=2, ge=1, le=60, description="How many of them must lie outside the band to open an incident."
    )
    tail_buckets: int = Field(
        default=6,
        ge=1,
        le=120,
        description="Neighbouring complete buckets in which a slow tail alone (p95 without p50) is "
        "evaluated.",
    )
    tail_outside: int = Field(
        default=5, ge=1, le=120, description="How many of them must have a p95 outside its band."
    )
    band_width: float = Field(
        default=3.5,
        gt=0,
        description="Half-width of a band in robust standard deviations (1.4826 × MAD of the logarithms).",
    )
    latency_ratio: float = Field(
        default=4.5, gt=1, description="Bands of latency reach at least this many times the usual value."
    )
    latency_floor_seconds: float = Field(
        default=0.25, ge=0, description="Bands of latency reach at least this far above the usual value."
    )
    error_floor: float = Field(
        default=0.05, ge=0, le=1, description="The error band reaches at least this far above the usual rate."
    )
    error_ratio: float = Field(
        default=2.0, ge=1, description="The error band reaches at least this many times the usual rate."
    )
    error_z: float = Field(
        default=1.64,
        gt=0,
        description="z of the Wilson lower bound of a window's error rate, which must exceed the band.",
    )
    error_chance: float = Field(
        default=5e-5,
        gt=0,
        lt=1,
        description="Largest chance of seeing so many failures at the usual rate (binomial) to call them "
        "an anomaly.",
    )
    min_errors: int = Field(
        default=3, ge=1, description="Failed calls that a window needs to count as an anomaly."
    )
    tokens_ratio: float = Field(
        default=4.0,
        gt=1,
        description="Bands of tokens per call reach at least this many times the usual value.",
    )
    tokens_floor: float = Field(
        default=200.0,
        ge=0,
        description="Bands of tokens per call reach at least this far above the usual value.",
    )
    cost_ratio: float = Field(
        default=5.0,
        gt=1,
        description="Bands of cost per bucket reach at least this many times the usual value.",
    )
    cost_floor_usd: float = Field(
        default=0.002,
        ge=0,
        description="Bands of cost reach at least this far above usual, in USD per bucket.",
    )
    calm_buckets: int = Field(
        default=3, ge=1, description="Quiet complete buckets after which an anomaly is resolved."
    )
    rest_seconds: float = Field(
        default=300.0, ge=0, description="Time after an incident is resolved in which it is not opened anew."
    )
    adapt_minutes: float = Field(
        default=30.0,
        gt=0,
        description="An anomaly that lasts longer (or half of lookback_minutes, if that is less) is resolved "
        "and its level taken as the new usual one.",
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

    @model_validator(mode="after")
    def _fits_together(self) -> WatchSettings:
        demand_unique_names(self.channels)
        if self.window_outside > self.window_buckets:
            raise ValueError("window_outside must not exceed window_buckets: that many can never be outside")
        buckets = self.lookback_minutes * 60 // self.bucket_seconds
        if self.min_history_buckets + self.window_buckets > buckets:
            raise ValueError(
                f"lookback_minutes = {self.lookback_minutes} holds {buckets} buckets of "
                f"{self.bucket_seconds} s, fewer than min_history_buckets + window_buckets: "
                "raise lookback_minutes"
            )
        return self

    @property
    def adapt_seconds(self) -> float:
        """How long an anomaly may last: history must not run out under it."""
        return min(self.adapt_minutes, self.lookback_minutes / 2) * 60
