"""Settings of the collector: the [collector] table of llmtrace.toml."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from llmtrace import semconv
from llmtrace.common.time_zones import UTC_ZONE, time_zone

from .issuer_settings import TokenIssuer
from .pricing.currencies import ExchangeRate
from .pricing.unit_prices import ProviderName, UnitPrices
from .quota_settings import Quota


class ModelPrice(UnitPrices):
    """A price of the user's own, for models that no public price list has."""

    model: str = Field(description="Model name as calls request it.")
    provider: ProviderName = Field(default="", description="Provider name; empty matches every provider.")


class Budget(BaseModel):
    """How much may be spent in a window of time, as GET /v1/budget tells applications."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Name of the budget, as answers give it.")
    limit: float = Field(gt=0, description="Amount at which the budget is exceeded.")
    unit: Literal["usd", "tokens", "requests"] = Field(
        default="usd", description="What is counted: usd, tokens or requests."
    )
    window: Literal["day", "week", "month", "24h", "7d", "30d"] = Field(
        default="month",
        description="Calendar day, week (from Monday) or month, or the last 24h, 7d or 30d.",
    )
    time_zone: str = Field(
        default=UTC_ZONE, description="Time zone of the calendar's days, weeks and months: Asia/Shanghai."
    )
    per: Literal["all", "user", "project", "model", "service", "tag", "account"] = Field(
        default="all",
        description="One budget for all calls together, or one for each user, project, model, service, tag "
        "or account (the mark of an API key).",
    )
    warn_at: float = Field(
        default=0.8, gt=0, le=1, description="Share of the limit from which on the state is a warning."
    )
    user: str = Field(default="", description="Only calls of this user; empty: of all.")
    project: str = Field(default="", description="Only calls of this project; empty: of all.")
    model: str = Field(default="", description="Only calls of this model; empty: of all.")
    service: str = Field(default="", description="Only calls of this service; empty: of all.")
    tag: str = Field(default="", description="Only calls with this tag; empty: all.")
    account: str = Field(default="", description="Only calls of this account; empty: of all.")
    purposes: tuple[semconv.Purpose, ...] = Field(
        default=(semconv.PURPOSE_PRODUCT,),
        description=f"Only calls for these purposes ({', '.join(semconv.PURPOSES)}); none: for all.",
    )

    @field_validator("time_zone")
    @classmethod
    def _is_time_zone(cls, name: str) -> str:
        time_zone(name)
        return name


class CollectorSettings(BaseModel):
    """How the collector receives, stores and serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1",
        description="Address to bind; other than loopback demands ingest_key and read_key.",
    )
    port: int = Field(default=4318, ge=1, le=65535, description="Port for OTLP/HTTP, reads and writes.")
    grpc_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port for OTLP/gRPC; needs llmtrace[grpc]. Unset: none; `llmtrace up` then takes 4317 "
        "where it is free.",
    )
    data_dir: Path = Field(
        default=Path(".llmtrace"), description="Folder of the log, the embedded store and keys."
    )
    store: str = Field(
        default="",
        description="chdb:///absolute/path (embedded) or clickhouse://user:password@host:8123/db; "
        "default: embedded, in data_dir/store.",
    )
    cluster: str = Field(
        default="",
        pattern=r"^\w*$",
        description="Name of the ClickHouse cluster, as its remote_servers have it, that the store is spread "
        "over; empty: one server.",
    )
    store_reader: str = Field(
        default="",
        description="clickhouse://user:password@host:8123/db of the user that `llmtrace store policies` "
        "makes: reads with a project's key are that user's, whom row policies confine.",
    )
    retention_days: int = Field(default=30, ge=1, le=3650, description="Days that spans and logs are kept.")
    retention: dict[str, int] = Field(
        default={}, description="Days by project, where they are not retention_days: { shop = 90 }."
    )
    redact: tuple[Literal["secrets", "pii"], ...] = Field(
        default=(),
        description="Built-in patterns to replace by marks before anything is stored: secrets, pii.",
    )
    redact_patterns: tuple[str, ...] = Field(
        default=(),
        description="Regular expressions of your own (RE2), whose matches become [redacted:own]: "
        "['EMP-[0-9]{6}'].",
    )
    drop_content: bool = Field(
        default=False,
        description="Store no messages, prompts, completions, instructions, tool arguments or results.",
    )
    keep_refused: bool | None = Field(
        default=None,
        description="Keep what the store refuses, as it was sent, in data_dir/wal/quarantine; otherwise only "
        "the reason. Unset: yes, unless redact, redact_patterns or drop_content is set.",
    )
    ingest_key: SecretStr | None = Field(
        default=None,
        description="Key that senders must give (Bearer or x-api-key); none on loopback by default.",
    )
    read_key: SecretStr | None = Field(
        default=None, description="Key that readers of /clickhouse must give; none on loopback by default."
    )
    service_key: SecretStr | None = Field(
        default=None,
        description="Key of the inference service: it sends, and writes what its administrators did.",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        description="Key of the write endpoints; default: LLMTRACE_ADMIN_KEY, "
        "else data_dir/admin.key, made when absent.",
    )
    dashboard_key: SecretStr | None = Field(
        default=None,
        description="Key of the dashboard, which alone may say which person acts; default: "
        "LLMTRACE_DASHBOARD_KEY, else data_dir/dashboard.key, made when absent.",
    )
    issuers: tuple[TokenIssuer, ...] = Field(
        default=(),
        description="Providers whose tokens (JWT) are taken as keys ([[collector.issuers]]): Kubernetes, "
        "GitHub Actions, a cloud's workload identity.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For says where requests come from "
        "(['10.0.0.0/8']); empty: of none.",
    )
    require_keys: bool = Field(
        default=False,
        description="Every endpoint asks for a key, also before `llmtrace keys create` made the first.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file with the certificate chain: HTTPS and gRPC over TLS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's private key.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file with the authorities whose client certificates both ports demand; unset: "
        "none is asked for.",
    )
    encryption_key_file: Path | None = Field(
        default=None,
        description="File with the keys that everything in data_dir is encrypted with (embedded store, log, "
        "quarantine, backups): one a line, 64 hexadecimal digits (`openssl rand -hex 32`), the current one "
        "first; those below it read what was written before. Unset: LLMTRACE_ENCRYPTION_KEY_FILE or "
        "LLMTRACE_ENCRYPTION_KEY, and nothing is encrypted without any.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Further Host headers to accept (a public name, a compose service)."
    )
    max_connections: int = Field(
        default=512,
        ge=8,
        le=100_000,
        description="Connections over HTTP at a time, no more than half of the files that the process may "
        "open; one more takes the place of one that is silent, or gets 503.",
    )
    open_metrics: bool = Field(
        default=False,
        description="Answer /metrics and /openapi.json without a key though host is not loopback: they name "
        "every service.",
    )
    max_body_bytes: int = Field(
        default=32 << 20,
        ge=1 << 10,
        le=64 << 20,
        description="Largest request, before and after decompression.",
    )
    query_max_bytes: int = Field(
        default=32_000,
        ge=1_000,
        le=1 << 20,
        description="Longest query that readers of /clickhouse may send, without its parameters.",
    )
    log_budget_bytes: int = Field(
        default=4 << 30,
        ge=64 << 20,
        description="Disk that unstored segments may take before senders get 503.",
    )
    disk_reserve_bytes: int = Field(
        default=64 << 20,
        ge=0,
        description="Size of the file that keeps room on the disk of data_dir, released while that is full, "
        "so that deleting, keys and a stop still work.",
    )
    segment_bytes: int = Field(
        default=16 << 20, ge=1 << 16, le=32 << 20, description="Size at which a segment of the log is closed."
    )
    segment_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Age at which a segment of the log is closed and stored."
    )
    rollup_seconds: float = Field(
        default=10.0,
        gt=0,
        le=10,
        description="How often hours of usage, steps and traces are brought up to date.",
    )
    trace_quiet_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="A trace is whole when its root is there and no span of it came for so long.",
    )
    trace_rootless_seconds: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="The same for a trace whose root did not come; at least trace_quiet_seconds.",
    )
    step_names: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Steps of a service that are told apart in ten seconds; the rest are one, (other).",
    )
    mlflow_url: str = Field(
        default="", description="MLflow tracking server that experiment runs are logged to; empty: none."
    )
    mlflow_interval_seconds: float = Field(
        default=5.0, gt=0, description="How often experiment runs are brought up to date in MLflow."
    )
    trace_url: str = Field(
        default="http://127.0.0.1:8501/traces?trace={trace_id}",
        description="Link to a trace, {trace_id} filled in; written into MLflow runs.",
    )
    prices: tuple[ModelPrice, ...] = Field(
        default=(), description="Prices of your own ([[collector.prices]]), before the public list."
    )
    exchange_rates: tuple[ExchangeRate, ...] = Field(
        default=(),
        description="What a US dollar was worth, for prices of your own in other currencies; "
        "default: [[dashboard.exchange_rates]].",
    )
    budgets: tuple[Budget, ...] = Field(
        default=(), description="Budgets that GET /v1/budget answers for ([[collector.budgets]])."
    )
    quotas: tuple[Quota, ...] = Field(
        default=(),
        description="What providers allow in a minute ([[collector.quotas]]), before the limits that their "
        "answers report.",
    )

    @field_validator("retention")
    @classmethod
    def _days_in_range(cls, value: dict[str, int]) -> dict[str, int]:
        for project, days in value.items():
            if not 1 <= days <= 3650:
                raise ValueError(f"retention of {project!r} is {days} days: it should be 1 to 3650")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ip_network(text, strict=False)
            except ValueError as error:
                raise ValueError(f"{error}: trusted_proxies holds addresses or networks") from error
        return value

    @field_validator("issuers")
    @classmethod
    def _names_differ(cls, value: tuple[TokenIssuer, ...]) -> tuple[TokenIssuer, ...]:
        names = [issuer.name for issuer in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two issuers have the name {name}: key ids begin with it")
        return value

    @model_validator(mode="after")
    def _both_or_neither(self) -> CollectorSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: set both or neither")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs TLS: set tls_certificate and tls_key as well")
        return self

    @model_validator(mode="after")
    def _root_is_waited_for(self) -> CollectorSettings:
        if self.trace_rootless_seconds < self.trace_quiet_seconds:
            raise ValueError(
                f"trace_rootless_seconds is {self.trace_rootless_seconds:g}, less than trace_quiet_seconds "
                f"({self.trace_quiet_seconds:g}): a root may still come, so it should be at least as long"
            )
        return self

    @model_validator(mode="after")
    def _server_where_needed(self) -> CollectorSettings:
        on_server = self.store.startswith(("clickhouse://", "clickhouses://"))
        for name in ("cluster", "store_reader"):
            if getattr(self, name) and not on_server:
                raise ValueError(f"{name} needs a ClickHouse server: set store = clickhouse://… as well")
        if self.store_reader and not self.store_reader.startswith(("clickhouse://", "clickhouses://")):
            raise ValueError("store_reader should be an address like clickhouse://user:password@host:8123/db")
        return self

    @property
    def keeps_refused(self) -> bool:
        """Whether what the store refuses is kept as it was sent."""
        if self.keep_refused is not None:
            return self.keep_refused
        return not (self.redact or self.redact_patterns or self.drop_content)

    @property
    def store_dsn(self) -> str:
        """The store's address with the default filled in."""
        return self.store or f"chdb://{self.data_dir.absolute() / 'store'}"
