"""What the views of the Cost page share: the calls, the currency, and the command that says the same."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import streamlit as st

from llmtrace_analysis.queries.scope import Scope, aligned
from llmtrace_analysis.settings import ExchangeRate
from llmtrace_dashboard.ui import filters, formats
from llmtrace_dashboard.ui.current_settings import current_settings

#: From this length on, a period is read in whole hours, which outlive single calls and are quick.
_WHOLE_HOURS = timedelta(hours=12)


@dataclass(frozen=True)
class CostViewContext:
    """The calls that the page is about, and the currency that it speaks."""

    scope: Scope
    currency: str
    rates: tuple[ExchangeRate, ...]

    def money(self, value: float | None) -> str:
        """An amount as text."""
        return formats.money(value, self.currency)

    def whole_hours(self) -> CostViewContext:
        """The same over whole hours, for what is reckoned by the hour."""
        since, until = aligned(self.scope.since, self.scope.until, 3600)
        return replace(self, scope=replace(self.scope, since=since, until=until))

    def options(self) -> list[str]:
        """The options of `llmtrace cost` for these calls and this currency."""
        options = [
            ("--from", _time(self.scope.since)),
            ("--to", _time(self.scope.until)),
            *((f"--{name}", getattr(self.scope, name)) for name in ("project", "service", "model", "user")),
        ]
        words = [word for option, value in options if value for word in (option, value)]
        words += ["--simulated"] if self.scope.simulated else []
        return words


def current_context(currency: str) -> CostViewContext:
    """The context that the filters and the currency make."""
    scope = filters.scope()
    context = CostViewContext(scope, currency, current_settings().exchange_rates)
    return context.whole_hours() if scope.until - scope.since >= _WHOLE_HOURS else context


def show_command(*words: str) -> None:
    """Show the command that prints the same figures."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("The same in a terminal:", width="content")
        st.code(shlex.join(["llmtrace", "cost", *words]), language=None, wrap_lines=True)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
