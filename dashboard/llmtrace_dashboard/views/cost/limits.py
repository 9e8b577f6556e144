"""What is used of each limit of providers, over time and now, and when that will be all."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from clickhouse_connect.driver.client import Client

from llmtrace.common.escaping import markdown_text
from llmtrace_analysis.collector_client import CollectorRefused, CollectorUnavailable, connect
from llmtrace_analysis.cost.headroom.capacity_use import Period
from llmtrace_analysis.cost.headroom.counting import BUCKET
from llmtrace_analysis.cost.headroom.limit_use import Headroom, LimitUse
from llmtrace_analysis.cost.headroom.limits import read_headroom
from llmtrace_analysis.cost.headroom.quotas import Quota, quotas
from llmtrace_analysis.cost.report import CostPage
from llmtrace_analysis.queries.scope import MAX_POINTS, Scope
from llmtrace_dashboard.ui import charts, filters, formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.tables import Cell, badge, cell, column, row, table
from llmtrace_dashboard.ui.visitor import access

from .shared import command_options, show_command

#: Limits are of minutes: more than a day of them is a matter of growth, which the table has.
_LONGEST = timedelta(hours=24)
#: Lines that one chart bears.
_LINES = 6
#: From these shares on a limit is drawn as a warning, and as bad.
_WARN, _BAD = 0.8, 1.0

_EXAMPLE = """[[collector.quotas]]
provider = "azure.ai.openai"
region = "eastus"
model = "gpt-4o"
tokens_per_minute = 450000
requests_per_minute = 2700"""

_MEASURES = {
    "tokens": "tokens a minute",
    "input_tokens": "input tokens a minute",
    "output_tokens": "output tokens a minute",
    "requests": "requests a minute",
    "ptu": "PTUs",
}


def draw(page: CostPage) -> None:
    """Draw the limits over the last of the period, a day at most."""
    now = datetime.now(UTC)
    until = min(page.scope.until, now.replace(microsecond=0) - timedelta(seconds=now.second % BUCKET))
    scope = replace(
        page.scope, since=max(page.scope.since, until - _LONGEST), until=until, user="", service=""
    )
    if scope.since >= scope.until:
        st.text("This period has not begun.")
        return
    headroom = load(_read, scope, tuple(_configured()))
    st.subheader("Limits of providers", anchor=False)
    if headroom.limits:
        _over_time(headroom, scope)
        _limits(headroom.limits)
        _shared(headroom.limits)
    else:
        st.text("No limit is known: no answer reported one, and none is set. Set one in llmtrace.toml:")
        st.code(_EXAMPLE, language="toml")
    _unlimited(headroom)
    words = command_options(replace(scope, purposes=page.scope.purposes))
    purposes = words.index("--purpose") if "--purpose" in words else len(words)
    show_command("limits", *words[:purposes])


def _read(client: Client, scope: Scope, configured: tuple[Quota, ...]) -> Headroom:
    return read_headroom(client, configured, scope)


def _configured() -> list[Quota]:
    try:
        with closing(connect(current_settings(), reading=True, caller=access().caller())) as client:
            return quotas(client.quotas())
    except (CollectorUnavailable, CollectorRefused) as error:
        st.caption(f"Quotas cannot be asked for: {markdown_text(str(error))}")
        return []


def _name(item: LimitUse) -> str:
    return f"{item.name}, {_MEASURES[item.measure].removesuffix(' a minute')}"


def shares_over_time(limits: list[LimitUse], period: Period) -> pd.DataFrame:
    """The greatest share of each stretch of a chart: `time`, `series`, `share`; unknown ones are left out."""
    width = max(1, -(-period.buckets // MAX_POINTS))
    frames = []
    for item in limits:
        padded = np.concatenate([item.share, np.full(-len(item.share) % width, np.nan)])
        stretches = np.fmax.reduce(padded.reshape(-1, width), axis=1)
        times = period.since + np.minimum((np.arange(len(stretches)) + 1) * width, period.buckets) * BUCKET
        frame = pd.DataFrame({"time": pd.to_datetime(times, unit="s", utc=True), "share": stretches})
        frames.append(frame.assign(series=_name(item)))
    data = (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame({"time": [], "share": [], "series": []})
    )
    return data.dropna(subset=["share"])


def _over_time(headroom: Headroom, scope: Scope) -> None:
    tightest = [item for item in headroom.limits if item.share_peak is not None][:_LINES]
    data = shares_over_time(tightest, headroom.period)
    if data.empty:
        return
    names = list(dict.fromkeys(_name(item) for item in tightest))
    with st.container(border=True):
        st.subheader("Share of the limit that a minute used", anchor=False)
        st.altair_chart(
            charts.limit_shares(data, filters.zone(), (scope.since, scope.until), names),
            key="limits",
            alt=f"Share used of {formats.plural(len(names), 'limit')} over time",
        )


def _share(share: float | None, *, bar: bool = False) -> Cell:
    tone = "" if share is None or share < _WARN else "bad" if share >= _BAD else "warn"
    options: dict[str, Any] = {"bar": min(1.0, share)} if bar and share is not None else {}
    return cell(formats.percent(share), tone=tone, **options)


def _limits(limits: list[LimitUse]) -> None:
    rows = []
    for item in limits:
        source = badge({"configured": ("Settings", ""), "reported": ("Headers", "")}, item.source)
        note = ""
        if item.reported_limit is not None:
            note = f"{'differs: ' if item.conflict else ''}{formats.count(item.reported_limit)} reported"
        rows.append(
            row(
                [
                    cell(item.name, sub=item.provider, title=item.reason),
                    cell(_MEASURES[item.measure] if item.window == 60 else f"{item.measure} in a day"),
                    cell(formats.count(item.limit), sub=note, tone="warn" if item.conflict else ""),
                    cell(source["text"]),
                    _share(item.share_peak, bar=True),
                    _share(item.share_now),
                    _burst(item),
                    cell(formats.count(item.limited), tone="bad" if item.limited else ""),
                    cell(_full_in(item), sub=_untold(item)),
                ]
            )
        )
    columns = [
        column("Limit of", fit="grow"),
        column("What"),
        column("Limit", "right"),
        column("From", help="Settings hold before what answers report in headers"),
        column("Busiest minute", "right", help="The greater of what spans add up to and answers report"),
        column("Last minute", "right"),
        column("10 s", "right", help="The busiest ten seconds, of a sixth of the minute's limit or your own"),
        column("429", "right", help="Calls that a limit refused"),
        column("Full in", "right", help="At the trend of minutes, else at the growth of days"),
    ]
    table("Limits", columns, rows, "limits_table")


def _burst(item: LimitUse) -> Cell:
    lasts = "" if item.minute_lasts is None else f"a minute's in {item.minute_lasts:.0f} s"
    return _share(item.burst_share) | ({"sub": lasts} if lasts else {})


def _full_in(item: LimitUse) -> str:
    seconds, days = item.seconds_to_limit, item.days_to_limit
    if seconds.after == 0:
        return "now"
    if seconds.after is not None:
        return formats.seconds(seconds.after)
    if days.after is not None:
        return formats.plural(round(days.after), "day")
    return "never" if "never" in (seconds.why, days.why) else formats.NONE


def _untold(item: LimitUse) -> str:
    return f"{formats.plural(round(item.untold), 'call')} without tokens" if item.untold else ""


def _shared(limits: list[LimitUse]) -> None:
    """Limits that several use together."""
    rows = []
    for item in limits:
        for place, member in enumerate(item.members):
            state = "exceed it together" if item.exceeded_together else ""
            if item.promised is not None:
                state = state or f"may use {formats.count(item.promised)} of {formats.count(item.limit)}"
            rows.append(
                row(
                    [
                        cell(_name(item) if place == 0 else "", sub=state if place == 0 else ""),
                        cell(member.label),
                        cell(formats.count(member.used)),
                        cell(formats.count(member.limit)),
                    ]
                )
            )
    if not rows:
        return
    st.subheader("Limits that several share", anchor=False)
    columns = [
        column("Limit of", fit="grow"),
        column("Deployment or model"),
        column("Used", "right", help="In the minute in which all together used most"),
        column("Own limit", "right", help="As its answers report it"),
    ]
    table("Shared limits", columns, rows, "shared_limits")


def _unlimited(headroom: Headroom) -> None:
    """Who calls without a limit that is known."""
    if not headroom.unlimited:
        return
    rows = [
        row(
            [
                cell(item.model, sub=" ".join(part for part in (item.provider, item.region) if part)),
                cell(formats.count(item.requests)),
                cell(formats.count(item.limited), tone="bad" if item.limited else ""),
            ]
        )
        for item in headroom.unlimited
    ]
    columns = [column("Model", fit="grow"), column("Calls", "right"), column("429", "right")]
    with st.expander("Without a known limit", expanded=any(item.limited for item in headroom.unlimited)):
        table("Without a known limit", columns, rows, "without_limit")
