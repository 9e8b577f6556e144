"""Where the money goes: totals, over time, by anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd
import streamlit as st

from llmtrace_analysis.cost import currency, focus, over_time
from llmtrace_dashboard.ui import charts, filters, formats, theme
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.page_links import page_url
from llmtrace_dashboard.ui.tables import cell, column, cost_cell, row, table
from llmtrace_dashboard.ui.url_state import bound_to_url, one_of

from .shared import CostViewContext, show_command


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
    "session": _Dimension("Session", "session"),
    "tag": _Dimension("Tag", "tag"),
}
_STEP_LABELS = {"auto": "Auto", "hour": "Hours", "day": "Days"}
_STEPS = {"auto": 0, "hour": 3600, "day": 86_400}
_AMOUNTS = {"key": "By what is chosen", "part": "By part of the price"}

#: Series drawn by name; the rest is one series.
_NAMED = 7
_ROWS = 12


def totals(context: CostViewContext) -> None:
    """Draw the sums of the period."""
    sums = load(currency.report, context.scope, currency=context.currency, rates=context.rates).iloc[0]
    cost = float(sums["cost"])
    priced = int(sums["calls"] - sums["unpriced_calls"] - sums["calls_without_tokens"])
    cached = sums["cache_read_tokens"] / sums["input_tokens"] if sums["input_tokens"] else None
    known = cost == cost
    cards = [
        (
            "Cost",
            context.money(cost) if known else "unpriced",
            "Over the calls whose price and token counts are known.",
        ),
        (
            "Per 1,000 calls",
            context.money(cost / priced * 1000 if known and priced > 0 else None),
            "Over calls whose price and token counts are known.",
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
            "Calls whose answer said no token counts, mostly failed ones. They add nothing to any sum here.",
        ),
    ]
    for place, (label, value, help) in zip(st.columns(5, gap="small"), cards, strict=True):
        place.metric(label, value, help=help, border=True)


def draw(context: CostViewContext) -> None:
    """Draw cost over time, by the chosen dimension, and the downloads."""
    with st.container(border=True):
        by = _over_time(context)
    left, right = st.columns([3, 2], gap="medium")
    data = load(currency.report, context.scope, [by], currency=context.currency, rates=context.rates)
    with left:
        st.subheader(f"By {_BY[by].label.lower()}", anchor=False)
        _table(data, by, context)
    with right:
        st.subheader("Tokens and their cost", anchor=False)
        _parts(context)
    show_command("report", "--by", by, *_currency(context), *context.options())
    _downloads(data, by, context)


def _currency(context: CostViewContext) -> list[str]:
    return [] if context.currency == currency.USD else ["--currency", context.currency]


def _over_time(context: CostViewContext) -> str:
    """Draw cost over time with its controls; what it is split by."""
    st.subheader("Cost over time", anchor=False)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with bound_to_url("by", "model", one_of(_BY)):
            by = st.segmented_control(
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
                width = st.segmented_control(
                    "Bar width",
                    list(_STEPS),
                    required=True,
                    format_func=_STEP_LABELS.__getitem__,
                    key="step",
                    label_visibility="collapsed",
                )
    step = _STEPS[width or "auto"] or context.scope.step
    by = by or "model"
    data, colors = _parts_series(context, step) if colour_by == "part" else _key_series(context, by, step)
    if data.empty:
        st.text("No call in this time has a price.")
        return by
    st.altair_chart(
        charts.areas(
            data,
            filters.zone(),
            (context.scope.since, context.scope.until),
            step,
            colors,
            context.currency,
            context.money,
        ),
        key="cost_over_time",
        alt=f"Cost over time by {'part of the price' if colour_by == 'part' else _BY[by].label.lower()}",
    )
    return by


def _key_series(context: CostViewContext, by: str, step: int) -> tuple[pd.DataFrame, dict[str, str]]:
    dearest = load(currency.report, context.scope, [by], currency=context.currency, rates=context.rates)
    keys = [str(key) for key in dearest[by].head(_NAMED)]
    names = [_name(key, by) for key in keys]
    offset = filters.zone_offset(context.scope.since)
    data = load(over_time.over_time, context.scope, by, keys, step, offset, context.currency, context.rates)
    colors = theme.colors_of(names)
    data["series"] = [
        _name(str(key), by) if named else "All others"
        for key, named in zip(data["key"], data["named"], strict=True)
    ]
    if not data["named"].all():
        colors["All others"] = theme.OTHER
    return data.rename(columns={"cost": "value"}).dropna(subset=["value"]), colors


def _parts_series(context: CostViewContext, step: int) -> tuple[pd.DataFrame, dict[str, str]]:
    offset = filters.zone_offset(context.scope.since)
    wide = load(over_time.parts_over_time, context.scope, step, offset, context.currency, context.rates)
    long = wide.melt(
        id_vars=["time"], value_vars=list(over_time.PARTS), var_name="series", value_name="value"
    ).dropna(subset=["value"])
    spent = set(long.loc[long["value"] > 0, "series"])
    colors = {name: theme.TOKENS.get(name, theme.OTHER) for name in over_time.PARTS if name in spent}
    return long[long["series"].isin(spent)], colors


def _name(key: str, by: str) -> str:
    return key or f"No {_BY[by].label.lower()} named"


def _table(data: pd.DataFrame, by: str, context: CostViewContext) -> None:
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
                        currency=context.currency,
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


_TOKENS: tuple[tuple[str, Literal["input", "output"], str, str], ...] = (
    ("Input", "input", "fresh", "input_cost"),
    ("Cached input", "input", "cache_read_tokens", "cache_read_cost"),
    ("Cache writes", "input", "cache_write_tokens", "cache_write_cost"),
    ("Output, with reasoning", "output", "output_tokens", "output_cost"),
)


def _parts(context: CostViewContext) -> None:
    """Draw how tokens and cost split."""
    sums = load(currency.report, context.scope, currency=context.currency, rates=context.rates).iloc[0].copy()
    sums["fresh"] = max(
        0, int(sums["input_tokens"]) - int(sums["cache_read_tokens"]) - int(sums["cache_write_tokens"])
    )
    whole = float(sums["cost"])
    rows = []
    for label, _, tokens, cost in _TOKENS:
        amount = float(sums[cost])
        share = amount / whole if whole and amount == amount else None
        rows.append(
            row(
                [
                    cell(label),
                    cell(formats.count(int(sums[tokens])), title=f"{int(sums[tokens]):,} tokens"),
                    cell(formats.percent(share), bar=share),
                    cell(context.money(amount)),
                ]
            )
        )
    if float(sums["request_cost"]) > 0:
        share = float(sums["request_cost"]) / whole
        rows.append(
            row(
                [
                    cell("Requests", title="Prices that are asked per call"),
                    cell(formats.NONE),
                    cell(formats.percent(share), bar=share),
                    cell(context.money(float(sums["request_cost"]))),
                ]
            )
        )
    columns = [
        column("Part", fit="grow"),
        column("Tokens", "right"),
        column("Share of cost", "right"),
        column("Cost", "right"),
    ]
    table("Tokens and their cost", columns, rows, "tokens")
    reasoning = int(sums["reasoning_tokens"])
    if reasoning:
        st.caption(f"{formats.count(reasoning)} of the output tokens were reasoning.")


def _downloads(data: pd.DataFrame, by: str, context: CostViewContext) -> None:
    """Offer the table and the period's FOCUS rows as files."""
    with st.container(horizontal=True):
        st.download_button(
            "Table as CSV",
            lambda: data.to_csv(index=False),
            file_name=f"cost-by-{by}-{context.currency}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key="download_csv",
        )
        whole = context.whole_hours().scope
        st.download_button(
            "FOCUS 1.2 as CSV",
            lambda: load(focus.export, whole, focus.Account("llmtrace", "llmtrace")).to_csv(index=False),
            file_name="focus-1.2.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            help="One row per charge in US dollars, in whole hours, as FinOps tools import it.",
            key="download_focus",
        )
