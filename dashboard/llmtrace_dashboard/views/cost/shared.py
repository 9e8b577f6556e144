"""What the views of the Cost page share: which calls it is about, and the command that says the same."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import streamlit as st

from llmtrace_analysis.queries.scope import USUAL_PURPOSES, Scope, aligned
from llmtrace_dashboard.ui import filters
from llmtrace_dashboard.ui.current_settings import current_settings

#: From this length on, a period is read in whole hours, which outlive single calls and are quick.
_WHOLE_HOURS = timedelta(hours=12)


def current_scope() -> Scope:
    """The calls that the filters ask for; days are those of the settings' time zone."""
    scope = replace(filters.scope(), zone=current_settings().time_zone)
    return whole_hours(scope) if scope.until - scope.since >= _WHOLE_HOURS else scope


def whole_hours(scope: Scope) -> Scope:
    """The same over whole hours, for what is reckoned by the hour."""
    since, until = aligned(scope.since, scope.until, 3600)
    return replace(scope, since=since, until=until)


def command_options(scope: Scope) -> list[str]:
    """The options of `llmtrace cost` for these calls."""
    options = [
        ("--from", _time(scope.since)),
        ("--to", _time(scope.until)),
        *((f"--{name}", getattr(scope, name)) for name in ("project", "service", "model", "user")),
    ]
    words = [word for option, value in options if value for word in (option, value)]
    return [*words, *purpose_options(scope)]


def purpose_options(scope: Scope) -> list[str]:
    """The options of `llmtrace cost` for what these calls were for; none for the product's."""
    if scope.purposes == USUAL_PURPOSES:
        return []
    return [word for purpose in scope.purposes or ("all",) for word in ("--purpose", purpose)]


def show_command(*words: str) -> None:
    """Show the command that prints the same figures."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("The same in a terminal:", width="content")
        st.code(shlex.join(["llmtrace", "cost", *words]), language=None, wrap_lines=True)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
