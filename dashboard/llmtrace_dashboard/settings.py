"""Settings of the dashboard: the [dashboard] table of llmtrace.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from pydantic import Field, model_validator

from llmtrace.common.loopback import is_loopback
from llmtrace_analysis.settings import CollectorConnection, ExchangeRate

# What was a setting and is none any more, with the reason; `FORMER_SETTINGS` tells those who still set it.

PAGE_TITLE: Final = "llmtrace"
"""What every page is called. Under a name of somebody's own a tab would not say what it is."""


class DashboardSettings(CollectorConnection):
    """How the dashboard listens and where it reads."""

    FORMER_SETTINGS: ClassVar[Mapping[str, str]] = {
        "title": f"pages are called {PAGE_TITLE}, so that a tab says what it is",
    }

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; other than loopback demands allowed_hosts.",
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
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Further Host headers to accept (a public name, a compose service)."
    )

    @model_validator(mode="after")
    def _reachable_by_name_only(self) -> DashboardSettings:
        if not is_loopback(self.host) and not self.allowed_hosts:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, and the dashboard has no login: "
                "put it behind a proxy that has one and name its hosts in allowed_hosts, "
                "or listen on 127.0.0.1"
            )
        return self
