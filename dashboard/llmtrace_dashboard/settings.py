"""Settings of the dashboard: the [dashboard] table of llmtrace.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from llmtrace.common.admin_key import AdminKeyMissing, find_dashboard_key
from llmtrace.common.loopback import is_loopback
from llmtrace.common.time_zones import UTC_ZONE, time_zone
from llmtrace_analysis.settings import CollectorConnection, ExchangeRate

# What was a setting and is none any more, with the reason; `FORMER_SETTINGS` tells those who still set it.

PAGE_TITLE: Final = "llmtrace"
"""What every page is called. Under a name of somebody's own a tab would not say what it is."""

CALLBACK: Final = "/oauth2callback"
"""Where the provider sends people back to; Streamlit's own path."""

METADATA: Final = "/.well-known/openid-configuration"
"""Where a provider describes itself, below its issuer."""

Role = Literal["viewer", "operator", "admin"]

_PROJECT: Final = re.compile(r"[A-Za-z0-9_.:@/-]{1,128}")


class RoleRule(BaseModel):
    """Whom a role is for. The first rule that fits a person decides; whom none fits sees nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str = Field(
        min_length=1,
        description="Claim of the login to look at: email, sub, groups; dots lead into nested claims.",
    )
    values: tuple[str, ...] = Field(
        min_length=1, description="Values that fit, exactly; of a list of values one is enough."
    )
    role: Role = Field(
        description="viewer: reads. operator: also acknowledges, silences, scores, reviews, blocks. "
        "admin: all, prices, budgets and keys included."
    )
    projects: tuple[str, ...] | None = Field(
        default=None, description="Projects that these people see, and no other; unset: every project."
    )

    @field_validator("projects")
    @classmethod
    def _names_projects(cls, projects: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if projects is not None and not projects:
            raise ValueError("name at least one project, or leave projects out for all of them")
        for name in projects or ():
            if not _PROJECT.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a project that the collector can confine to")
        return projects


class DashboardSettings(CollectorConnection):
    """How the dashboard listens, whom it lets in, and where it reads."""

    FORMER_SETTINGS: ClassVar[Mapping[str, str]] = {
        "title": f"pages are called {PAGE_TITLE}, so that a tab says what it is",
    }

    dashboard_key: SecretStr | None = Field(
        default=None,
        description="Key by which the collector believes the dashboard who a person is; "
        "default: LLMTRACE_DASHBOARD_KEY, else data_dir/dashboard.key.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; other than loopback demands allowed_hosts and a login "
        "(oidc_issuer, or trusted_header of a proxy).",
    )
    port: int = Field(default=8501, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    mlflow_url: str = Field(
        default="http://127.0.0.1:5000", description="Base URL of MLflow, for links; empty: no links."
    )
    refresh_seconds: float = Field(
        default=5.0, ge=1, le=3600, description="How often pages bring themselves up to date."
    )
    exchange_rates: tuple[ExchangeRate, ...] = Field(
        default=(),
        description="Currencies that costs can also be shown in, each day's cost at the rate of that day.",
    )
    currency: str = Field(
        default="USD",
        pattern="^[A-Z]{3}$",
        description="ISO 4217 code of the currency that costs are shown in first, which needs a rate: CNY.",
    )
    time_zone: str = Field(
        default=UTC_ZONE,
        description="Time zone of the days and months of reports, forecasts and exports: Asia/Shanghai.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Further Host headers to accept (a public name, a compose service)."
    )
    frame_ancestors: tuple[str, ...] = Field(
        default=(),
        description="Origins whose pages may show the dashboard in a frame (https://wiki.example.com); "
        "nobody else may.",
    )

    public_url: str = Field(
        default="",
        description="Where people reach the dashboard (https://llmtrace.example.com). A login returns to "
        f"this address with {CALLBACK}, which the provider must know. Unset: http, host and port.",
    )
    oidc_issuer: str = Field(
        default="",
        description="OpenID Connect provider that people sign in at: its issuer, or the address of its "
        f"metadata (…{METADATA}). Set: everyone signs in.",
    )
    oidc_client_id: str = Field(default="", description="What the provider calls the dashboard.")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="The secret that the provider gave for this client."
    )
    oidc_client_secret_file: Path | None = Field(
        default=None, description="File with that secret, instead of oidc_client_secret."
    )
    oidc_scopes: tuple[str, ...] = Field(
        default=("openid", "email", "profile"), description="Scopes to ask for, such as one for groups."
    )
    login_hours: float = Field(
        default=12.0, gt=0, le=30 * 24, description="Age after which a login ends and people sign in again."
    )
    cookie_secret: SecretStr | None = Field(
        default=None,
        description="What the cookies of logins are signed with, equal on dashboards behind one address; "
        "default: data_dir/dashboard.secret, made at the first start.",
    )
    roles: tuple[RoleRule, ...] = Field(
        default=(),
        description="Who may do what once signed in ([[dashboard.roles]]). Read again whenever the file "
        "changes.",
    )
    roles_file: Path | None = Field(
        default=None,
        description="File whose [[dashboard.roles]] hold; unset: the settings file, where it has some.",
    )
    trusted_header: str = Field(
        default="",
        description="Header in which a proxy before the dashboard says who a person is (their e-mail "
        "address, the claim email); demands trusted_proxies or trusted_secret.",
    )
    trusted_groups_header: str = Field(
        default="",
        description="Header in which that proxy lists the person's groups, with commas (the claim groups).",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(), description="Addresses or networks of that proxy; nobody else is answered."
    )
    trusted_secret: SecretStr | None = Field(
        default=None,
        description="Secret that the proxy sends in X-Llmtrace-Proxy-Secret, if its address is not enough.",
    )

    @property
    def redirect_url(self) -> str:
        """Where logins return to. `{port}` stands for a port that is not known before the start."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url.rstrip("/") or f"http://{host}:{self.port or '{port}'}") + CALLBACK

    @property
    def asks_who(self) -> bool:
        """Whether people have names here: they sign in, or a proxy says who they are."""
        return bool(self.oidc_issuer or self.trusted_header)

    def effective_dashboard_key(self) -> str | None:
        """The dashboard's own key; None where there is none (yet)."""
        configured = None if self.dashboard_key is None else self.dashboard_key.get_secret_value()
        try:
            return find_dashboard_key(self.data_dir, configured)
        except AdminKeyMissing:
            return None

    def effective_write_key(self) -> str | None:
        """The dashboard's own key. Where nobody has a name the admin key serves too."""
        return self.effective_dashboard_key() or (None if self.asks_who else self.effective_admin_key())

    def effective_read_key(self) -> str | None:
        """The read key, else the dashboard's own, else the admin key; None where there is none (yet)."""
        read = None if self.read_key is None else self.read_key.get_secret_value()
        return read or self.effective_dashboard_key() or self.effective_admin_key()

    @field_validator("time_zone")
    @classmethod
    def _is_time_zone(cls, name: str) -> str:
        time_zone(name)
        return name

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if self.currency not in ("USD", *(rate.currency for rate in self.exchange_rates)):
            raise ValueError(
                f"currency is {self.currency}, which has no rate; give one under [[dashboard.exchange_rates]]"
            )
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ip_network(proxy, strict=False)
        return proxies

    @field_validator("frame_ancestors")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            # They go into a header: nothing that could end the directive.
            if (
                origin != f"{parts.scheme}://{parts.netloc}"
                or not parts.hostname
                or set(origin) & set(" ;,'\"")
            ):
                raise ValueError(f"{origin!r} is no origin: https://host or https://host:port")
        return origins

    @field_validator("public_url", "oidc_issuer")
    @classmethod
    def _is_safe_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query):
            raise ValueError("must be a https:// address without a query")
        if url and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("must be https: over http others can read and change what is sent")
        return url

    @model_validator(mode="after")
    def _reachable_by_name_only(self) -> Self:
        if not is_loopback(self.host) and not self.allowed_hosts:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines: name the hosts that the dashboard "
                "answers to in allowed_hosts, or listen on 127.0.0.1"
            )
        if not is_loopback(self.host) and not self.asks_who:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, so people must sign in: set "
                "oidc_issuer, oidc_client_id and oidc_client_secret, or trusted_header and trusted_proxies "
                "where a proxy signs them in, or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if self.oidc_issuer and self.trusted_header:
            raise ValueError("oidc_issuer and trusted_header are two ways to know who a person is: set one")
        if self.oidc_issuer:
            if not self.oidc_client_id:
                raise ValueError("oidc_issuer needs the oidc_client_id that the provider gave")
            if (self.oidc_client_secret is None) == (self.oidc_client_secret_file is None):
                raise ValueError(
                    "oidc_issuer needs oidc_client_secret or oidc_client_secret_file, one of them"
                )
            if not is_loopback(self.host) and not self.public_url:
                raise ValueError(
                    "a login on another address than loopback needs public_url: the https address by which "
                    "people reach the dashboard"
                )
        if self.trusted_header and not (self.trusted_proxies or self.trusted_secret):
            raise ValueError(
                "trusted_header alone can be sent by anybody: set trusted_proxies to the addresses of the "
                "proxy, or trusted_secret to a secret that it sends in X-Llmtrace-Proxy-Secret"
            )
        if self.trusted_groups_header and not self.trusted_header:
            raise ValueError("trusted_groups_header goes with trusted_header")
        return self
