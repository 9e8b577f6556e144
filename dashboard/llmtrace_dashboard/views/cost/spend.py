"""Where the money goes: totals, over time, by anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from llmtrace_analysis.cost import focus
from llmtrace_analysis.cost.currency import USD
from llmtrace_analysis.cost.parts import CHARTED, REPORTED
from llmtrace_analysis.cost.report import NAMED, CostPage
from llmtrace_analysis.cost.stated_costs import stated_share
from llmtrace_dashboard.ui import charts, filters, formats, theme
from llmtrace_dashboard.ui.cached_reads import load_for
from llmtrace_dashboard.ui.downloads import csv_of
from llmtrace_dashboard.ui.page_links import page_url
from llmtrace_dashboard.ui.tables import cell, column, cost_cell, row, table
from llmtrace_dashboard.ui.url_state import bound_to_url, current_value, one_of
from llmtrace_dashboard.ui.visitor import access

from .shared import command_options, show_command, whole_hours


@dataclass(frozen=True)
class _Dimension:
    label: str
    filter: str = ""
    """The parameter of the Traces page that shows the calls of one value; empty where there is none."""


_BY: dict[str, _Dimension] = {
    "model": _Dimension("Model", "model"),
    "user": _Dimension("User", "user"),
    "service": _Dimension("Service", "service"),
    "provider": _Dimension("Provider", "provider"),
    "project": _Dimension("Project", "project"),
    "tier": _Dimension("Service tier"),
    "operation": _Dimension("Operation"),
    "experiment": _Dimension("Experiment", "experiment"),
    "prompt": _Dimension("Prompt", "prompt"),
    "purpose": _Dimension("Purpose", "purpose"),
    "session": _Dimension("Session", "session"),
    "tag": _Dimension("Tag", "tag"),
    "stated_by": _Dimension("Stated by"),
    "estimated": _Dimension("Estimated tokens"),
}
_STEP_LABELS = {"auto": "Auto", "hour": "Hours", "day": "Days"}
_STEPS = {"auto": 0, "hour": 3600, "day": 86_400}
_AMOUNTS = {"key": "By what is chosen", "part": "By part of the price"}

_ROWS = 12


def chosen() -> dict[str, Any]:
    """What the view's controls ask of `report.page`, before they are drawn."""
    return {
        "by": current_value("by", "model", one_of(_BY)) or "model",
        "split": current_value("of", "key", one_of(_AMOUNTS)),
        "step": _STEPS[current_value("step", "auto", one_of(_STEPS)) or "auto"],
    }


def totals(page: CostPage) -> None:
    """Draw the sums of the period."""
    sums = page.totals
    cost = float(sums["cost"])
    priced = int(sums["calls"] - sums["unknown_cost_calls"])
    cached = sums["cache_read_tokens"] / sums["input_tokens"] if sums["input_tokens"] else None
    known = cost == cost
    stated = stated_share(float(sums["stated_cost"]), cost)
    estimated = stated_share(float(sums["estimated_cost"]), cost)
    cards = [
        (
            "Cost",
            formats.about(formats.money(cost, page.currency), sums["estimated_calls"])
            if known
            else "unpriced",
            "Over the calls whose cost is stated, or whose price and token counts are known."
            + (f" {stated:.0%} of it is stated, the rest computed." if stated else "")
            + (f" {estimated:.1%} of it is for tokens that are estimated from text." if estimated else ""),
        ),
        (
            "Per 1,000 calls",
            formats.money(cost / priced * 1000 if known and priced > 0 else None, page.currency),
            "Over calls whose cost is stated, or whose price and token counts are known.",
        ),
        ("Input from cache", formats.percent(cached), "Share of input tokens that the provider had cached."),
        (
            "Unpriced calls",
            formats.count(int(sums["unpriced_calls"])),
            "Calls to models without a known price. They are not in any sum here.",
        ),
        (
            "No token counts",
            formats.count(int(sums["calls_without_tokens"])),
            "Calls whose answer said no token counts, mostly failed ones. They add what they state alone.",
        ),
    ]
    for place, (label, value, help) in zip(st.columns(5, gap="small"), cards, strict=True):
        place.metric(label, value, help=help, border=True)


def draw(page: CostPage) -> None:
    """Draw cost over time, by the chosen dimension, and the downloads."""
    with st.container(border=True):
        _over_time(page)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader(f"By {_BY[page.by].label.lower()}", anchor=False)
        _table(page)
    with right:
        st.subheader("Tokens and their cost", anchor=False)
        _parts(page)
    currency = [] if page.currency == USD else ["--currency", page.currency]
    show_command("report", "--by", page.by, *currency, *command_options(page.scope))
    _downloads(page)


def _over_time(page: CostPage) -> None:
    """Draw cost over time with its controls."""
    st.subheader("Cost over time", anchor=False)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with bound_to_url("by", "model", one_of(_BY)):
            st.segmented_control(
                "Split by",
                list(_BY),
                required=True,
                format_func=lambda name: _BY[name].label,
                key="by",
                label_visibility="collapsed",
            )
        with st.container(horizontal=True, width="content"):
            with bound_to_url("of", "key", one_of(_AMOUNTS)):
                colour_by = st.selectbox(
                    "Colours",
                    list(_AMOUNTS),
                    format_func=_AMOUNTS.__getitem__,
                    key="of",
                    label_visibility="collapsed",
                    width=190,
                )
            with bound_to_url("step", "auto", one_of(_STEPS)):
                st.segmented_control(
                    "Bar width",
                    list(_STEPS),
                    required=True,
                    format_func=_STEP_LABELS.__getitem__,
                    key="step",
                    label_visibility="collapsed",
                )
    by_part = colour_by == "part"
    data, colors = _part_series(page.series) if by_part else _key_series(page)
    if data.empty:
        st.text("No call in this time has a price.")
        return
    st.altair_chart(
        charts.areas(
            data,
            filters.zone(),
            (page.scope.since, page.scope.until),
            page.step,
            colors,
            page.currency,
            lambda value: formats.money(value, page.currency),
        ),
        key="cost_over_time",
        alt=f"Cost over time by {'part of the price' if by_part else _BY[page.by].label.lower()}",
    )


def _key_series(page: CostPage) -> tuple[pd.DataFrame, dict[str, str]]:
    names = [_name(str(key), page.by) for key in page.table[page.by].head(NAMED)]
    colors = theme.colors_of(names)
    data = page.series.rename(columns={"cost": "value"})
    data["series"] = [
        _name(str(key), page.by) if named else "All others"
        for key, named in zip(data["key"], data["named"], strict=True)
    ]
    if not data["named"].all():
        colors["All others"] = theme.OTHER
    return data.dropna(subset=["value"]), colors


def _part_series(series: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    data = series.rename(columns={"key": "series", "cost": "value"}).dropna(subset=["value"])
    spent = set(data.loc[data["value"] > 0, "series"])
    colors = {name: theme.TOKENS.get(name, theme.OTHER) for name in CHARTED if name in spent}
    return data[data["series"].isin(spent)], colors


def _name(key: str, by: str) -> str:
    if by == "stated_by" and not key:
        return "Computed"
    if by == "estimated" and not key:
        return "Tokens as told"
    return key or f"No {_BY[by].label.lower()} named"


def _table(page: CostPage) -> None:
    data, by = page.table, page.by
    total, most = float(data["cost"].sum()), float(data["cost"].max())
    rows = []
    for item in data.head(_ROWS).to_dict(orient="records"):
        amount, key = float(item["cost"]), str(item[by])
        known = amount == amount
        linked = _BY[by].filter
        rows.append(
            row(
                [
                    cell(
                        _name(key, by),
                        href=page_url("/traces", **{linked: key}) if key and linked else "",
                        title=key,
                    ),
                    cell(formats.count(int(item["calls"]))),
                    cell(formats.count(int(item["input_tokens"]))),
                    cell(formats.count(int(item["output_tokens"]))),
                    cell(formats.percent(amount / total) if known and total else formats.NONE),
                    cost_cell(
                        amount,
                        int(item["unpriced_calls"]),
                        int(item["calls"]),
                        bar=amount / most if known and most > 0 else None,
                        currency=page.currency,
                        estimated=int(item["estimated_calls"]),
                    ),
                ]
            )
        )
    columns = [
        column(_BY[by].label, fit="grow"),
        column("Calls", "right"),
        column("Input", "right", help="Input tokens"),
        column("Output", "right", help="Output tokens"),
        column("Share", "right", help="Share of the known cost"),
        column("Cost", "right"),
    ]
    table(f"Cost by {_BY[by].label.lower()}", columns, rows, "cost_by")
    notes = [f"The {len(rows)} dearest of {formats.count(len(data))}."] if len(data) > len(rows) else []
    if _BY[by].filter:
        notes.append("A name leads to its traces.")
    if by == "tag":
        notes.append("A call with several tags counts under each of them.")
    if notes:
        st.caption(" ".join(notes))


def _parts(page: CostPage) -> None:
    """Draw how tokens and cost split; parts without tokens are drawn where they cost."""
    whole = float(page.totals["cost"])
    rows = []
    for item in page.parts.to_dict(orient="records"):
        amount, tokens = float(item["cost"]), float(item["tokens"])
        counted = tokens == tokens
        if not counted and not amount > 0:
            continue
        part = REPORTED[item["part"]]
        share = amount / whole if whole and amount == amount else None
        rows.append(
            row(
                [
                    cell(part.label, title=part.note),
                    cell(formats.count(int(tokens)), title=f"{int(tokens):,} tokens")
                    if counted
                    else cell(formats.NONE),
                    cell(formats.percent(share), bar=share),
                    cell(formats.money(amount, page.currency)),
                ]
            )
        )
    columns = [
        column("Part", fit="grow"),
        column("Tokens", "right"),
        column("Share", "right", help="Share of the cost"),
        column("Cost", "right"),
    ]
    table("Tokens and their cost", columns, rows, "tokens")
    reasoning = int(page.totals["reasoning_tokens"])
    if reasoning:
        st.caption(f"{formats.count(reasoning)} of the output tokens were reasoning.")
    stated = int(page.totals["stated_calls"])
    if stated:
        share = stated_share(float(page.totals["stated_cost"]), whole)
        of_cost = f" ({share:.0%} of the cost)" if share is not None else ""
        st.caption(f"{formats.count(stated)} calls state what they cost{of_cost}; the rest is computed.")


def _downloads(page: CostPage) -> None:
    """Offer the table and the period's FOCUS rows as files."""
    with st.container(horizontal=True):
        st.download_button(
            "Table as CSV",
            lambda: csv_of(page.table),
            file_name=f"cost-by-{page.by}-{page.currency}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key="download_csv",
        )
        whole, visit = whole_hours(page.scope), access()
        st.download_button(
            "FOCUS 1.4 as CSV",
            lambda: csv_of(load_for(visit, focus.export, whole, focus.Account(), "1.4")),
            file_name="focus-1.4.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            help="One row per charge in US dollars, in whole hours, as FinOps tools import it.",
            key="download_focus",
        )
