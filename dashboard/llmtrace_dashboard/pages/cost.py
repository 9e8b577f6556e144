"""Cost: where the money goes, at which prices, and what has no price."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st

from llmtrace_dashboard import charts, filters, formats, theme
from llmtrace_dashboard.address import bound, one_of
from llmtrace_dashboard.links import page_url
from llmtrace_dashboard.page import empty, header, live
from llmtrace_dashboard.queries import cost, usage
from llmtrace_dashboard.queries.cost import By
from llmtrace_dashboard.queries.scope import Scope
from llmtrace_dashboard.queries.usage import Totals
from llmtrace_dashboard.reading import load
from llmtrace_dashboard.tables import cell, column, cost_cell, row, table

_BY: dict[By, str] = {
    "model": "Model",
    "user": "User",
    "service": "Service",
    "provider": "Provider",
    "experiment": "Experiment",
}
_STEP_LABELS = {"auto": "Auto", "hour": "Hours", "day": "Days"}
_STEPS = {"auto": 0, "hour": 3600, "day": 86_400}

#: Series drawn by name; the rest is one series.
_NAMED = 7


def render() -> None:
    """Draw the page's data."""
    scope = filters.scope()
    header("Cost", filters.range_label())
    totals = load(usage.totals, scope)
    if not totals.calls:
        empty("calls")
        return
    _kpis(totals)
    by = _over_time(scope)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader(f"By {_BY[by].lower()}", anchor=False)
        _by(load(cost.cost_by, scope, by), by)
    with right:
        st.subheader("Tokens", anchor=False)
        amounts = _tokens(totals)
    _tokens_over_time(scope, amounts)
    _prices(load(cost.cost_by_price, scope))


def _kpis(totals: Totals) -> None:
    priced = totals.calls - totals.unpriced
    per_call = totals.cost / priced if totals.cost is not None and priced else None
    cached = totals.cache_read_tokens / totals.input_tokens if totals.input_tokens else None
    cards = [
        (
            "Cost",
            "unpriced" if totals.cost is None else formats.usd(totals.cost),
            "Over the calls whose price and token counts are known.",
        ),
        (
            "Per 1,000 calls",
            formats.usd(per_call * 1000 if per_call is not None else None),
            "Over priced calls.",
        ),
        ("Input from cache", formats.percent(cached), "Share of input tokens that the provider had cached."),
        (
            "Unpriced calls",
            formats.count(totals.unpriced),
            "Calls to models without a known price. They are not in any sum here.",
        ),
        (
            "No token counts",
            formats.count(totals.without_tokens),
            "Calls whose answer said no token counts, mostly failed ones. They add nothing to any sum here.",
        ),
    ]
    for place, (label, value, help) in zip(st.columns(5, gap="small"), cards, strict=True):
        place.metric(label, value, help=help, border=True)


def _over_time(scope: Scope) -> By:
    """Draw cost over time with its controls; what it is split by."""
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader("Cost over time", anchor=False)
            with st.container(horizontal=True, width="content"):
                with bound("by", "model", one_of(_BY)):
                    by = st.segmented_control(
                        "Split by",
                        list(_BY),
                        required=True,
                        format_func=_BY.__getitem__,
                        key="by",
                        label_visibility="collapsed",
                    )
                with bound("step", "auto", one_of(_STEPS)):
                    width = st.segmented_control(
                        "Bar width",
                        list(_STEPS),
                        required=True,
                        format_func=_STEP_LABELS.__getitem__,
                        key="step",
                        label_visibility="collapsed",
                    )
        step = _STEPS[width or "auto"] or scope.step
        by = by or "model"
        top = load(cost.cost_by, scope, by, _NAMED)
        keys = tuple(str(key) for key in top["key"])
        data = load(cost.cost_over_time, scope, by, keys, step, filters.zone_offset(scope.since))
        names = [_name(key, by) for key in keys]
        colors = theme.colors_of(names)
        data["series"] = [
            _name(str(key), by) if named else "All others"
            for key, named in zip(data["key"], data["named"], strict=True)
        ]
        if not data["named"].all():
            colors["All others"] = theme.OTHER
        data = data.rename(columns={"cost": "value"}).dropna(subset=["value"])
        if data.empty:
            st.text("No call in this time has a price.")
            return by
        st.altair_chart(
            charts.stacked(
                data, filters.zone(), (scope.since, scope.until), step, colors, "usd", formats.usd
            ),
            key="cost_over_time",
            alt=f"Cost over time by {_BY[by].lower()}",
        )
    return by


def _name(key: str, by: By) -> str:
    return key or f"No {_BY[by].lower()} named"


def _by(data: pd.DataFrame, by: By) -> None:
    total, most = float(data["cost"].sum()), float(data["cost"].max())
    rows = []
    for _, item in data.head(12).iterrows():
        amount = float(item["cost"])
        known = amount == amount
        key = str(item["key"])
        href = page_url("/traces", **{by: key}) if key and by in ("model", "user", "service") else ""
        if key and by == "experiment":
            href = page_url("/traces", experiment=key)
        rows.append(
            row(
                [
                    cell(_name(key, by), href=href, title=key),
                    cell(formats.count(int(item["calls"]))),
                    cell(formats.count(int(item["input_tokens"]))),
                    cell(formats.count(int(item["output_tokens"]))),
                    cell(formats.percent(amount / total) if known and total else formats.NONE),
                    cost_cell(
                        amount,
                        int(item["unpriced"]),
                        int(item["calls"]),
                        bar=amount / most if known and most > 0 else None,
                    ),
                ]
            )
        )
    columns = [
        column(_BY[by], fit="grow"),
        column("Calls", "right"),
        column("Input", "right", help="Input tokens"),
        column("Output", "right", help="Output tokens"),
        column("Share", "right", help="Share of the known cost"),
        column("Cost", "right"),
    ]
    table(f"Cost by {_BY[by].lower()}", columns, rows, "cost_by")
    if len(data) > len(rows):
        st.caption(f"The {len(rows)} dearest of {formats.count(len(data))}.")


def _tokens(totals: Totals) -> dict[str, int]:
    """Draw how the tokens split; the amounts by kind, which add up."""
    amounts = {
        "Input": max(0, totals.input_tokens - totals.cache_read_tokens - totals.cache_write_tokens),
        "Cached input": totals.cache_read_tokens,
        "Cache writes": totals.cache_write_tokens,
        "Output": max(0, totals.output_tokens - totals.reasoning_tokens),
        "Reasoning": totals.reasoning_tokens,
    }
    whole = sum(amounts.values())
    rows = [
        row(
            [
                cell(name),
                cell(
                    formats.percent(amount / whole if whole else None), bar=amount / whole if whole else None
                ),
                cell(f"{amount:,}" if amount < 1_000_000 else formats.count(amount), title=f"{amount:,}"),
            ]
        )
        for name, amount in amounts.items()
    ]
    table(
        "Tokens by kind",
        [column("Kind", fit="grow"), column("Share", "right"), column("Tokens", "right")],
        rows,
        "tokens",
    )
    return amounts


def _tokens_over_time(scope: Scope, amounts: dict[str, int]) -> None:
    step = scope.step
    data = load(cost.tokens_over_time, scope, step, filters.zone_offset(scope.since))
    names = dict(zip(("fresh", "cached", "written", "answer", "reasoning"), amounts, strict=True))
    long = data.rename(columns=names).melt(
        id_vars=["time"], value_vars=list(amounts), var_name="series", value_name="value"
    )
    colors = {name: color for name, color in theme.TOKENS.items() if amounts[name]}
    long = long[long["series"].isin(list(colors))]
    if not long.empty:
        with st.container(border=True):
            st.subheader("Tokens over time", anchor=False)
            st.altair_chart(
                charts.stacked(
                    long,
                    filters.zone(),
                    (scope.since, scope.until),
                    step,
                    colors,
                    "count",
                    formats.count,
                    height=200,
                ),
                key="tokens_over_time",
                alt="Tokens over time by kind",
            )


def _prices(data: pd.DataFrame) -> None:
    priced, unpriced = data[data["priced"]], data[~data["priced"]]
    if len(unpriced):
        _unpriced(unpriced)
    st.subheader("Prices in use", anchor=False)
    rows = [
        row(
            [
                cell(
                    str(item["model"]),
                    href=page_url("/traces", model=str(item["model"])),
                    sub=_answered_as(item),
                    title=str(item["model"]),
                ),
                cell(str(item["provider"])),
                cell(formats.price(float(item["input_price"]))),
                cell(formats.price(float(item["cache_read_price"]))),
                cell(formats.price(float(item["output_price"]))),
                cell(formats.count(int(item["input_tokens"]))),
                cell(formats.count(int(item["cache_read_tokens"]))),
                cell(formats.count(int(item["output_tokens"]))),
                cell(formats.count(int(item["reasoning_tokens"]))),
                cell(_source(str(item["source"])), tone="muted"),
                cell(formats.usd(float(item["cost"]))),
            ]
        )
        for _, item in priced.iterrows()
    ]
    columns = [
        column("Model", fit="grow"),
        column("Provider"),
        column("$ / M in", "right", help="US dollars per million input tokens"),
        column("$ / M cached", "right", help="US dollars per million input tokens read from cache"),
        column("$ / M out", "right", help="US dollars per million output tokens"),
        column("Input", "right"),
        column("Cached", "right", help="Part of the input"),
        column("Output", "right"),
        column("Reasoning", "right", help="Part of the output"),
        column("Price from"),
        column("Cost", "right"),
    ]
    table("Prices in use", columns, rows, "prices", "No call in this time has a price.")


def _answered_as(item: pd.Series) -> str:
    answered = str(item["response_model"])
    return f"answered by {answered}" if answered and answered != item["model"] else ""


def _source(source: str) -> str:
    return "llmtrace.toml" if source == "config" else source


def _unpriced(data: pd.DataFrame) -> None:
    calls = int(data["calls"].sum())
    st.subheader("Without a price", anchor=False)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        rows = [
            row(
                [
                    cell(
                        str(item["model"]) or "no model named",
                        href=page_url("/traces", model=str(item["model"])),
                        title=str(item["model"]),
                    ),
                    cell(str(item["provider"]) or formats.NONE),
                    cell(formats.count(int(item["calls"]))),
                    cell(formats.count(int(item["input_tokens"]))),
                    cell(formats.count(int(item["output_tokens"]))),
                ]
            )
            for _, item in data.iterrows()
        ]
        columns = [
            column("Model", fit="grow"),
            column("Provider"),
            column("Calls", "right"),
            column("Input", "right"),
            column("Output", "right"),
        ]
        table("Models without a price", columns, rows, "unpriced")
    with right:
        st.text(
            f"{formats.plural(calls, 'call')} went to models whose price nobody published, or that you run "
            "yourself. Put your price into llmtrace.toml and restart the collector; what is stored is "
            "priced anew at once:"
        )
        st.code(_snippet(data), language="toml")


def _snippet(data: pd.DataFrame) -> str:
    """`[[collector.prices]]` tables for the most called unpriced models, as TOML."""
    tables = []
    for model in [
        name for name in dict.fromkeys(data.sort_values("calls", ascending=False)["model"]) if name
    ][:3]:
        # A JSON string is a TOML basic string, once DEL is escaped too.
        quoted = json.dumps(str(model)).replace("\x7f", "\\u007f")
        tables.append(
            f"[[collector.prices]]\nmodel = {quoted}\ninput_per_million = 0.00   # your price in USD\n"
            "output_per_million = 0.00"
        )
    return "\n\n".join(tables)


if __name__ == "__main__":
    live(render)
