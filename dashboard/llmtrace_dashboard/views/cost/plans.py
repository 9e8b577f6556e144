"""Calculators: the same tokens elsewhere, and reserved capacity instead of pay-as-you-go."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from llmtrace.common.escaping import markdown_text
from llmtrace_analysis.cost.planning import reserved_capacity, what_if
from llmtrace_analysis.cost.report import CostPage, report
from llmtrace_dashboard.ui import charts, formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.tables import cell, column, row, table
from llmtrace_dashboard.ui.url_state import bound_to_url

from .shared import command_options, show_command, whole_hours

#: Models that are compared when nothing was chosen yet.
_USUAL = "openai/gpt-4o-mini, openai/gpt-4o@batch, anthropic/claude-haiku-4-5"


def draw_what_if(page: CostPage) -> None:
    """Draw what the period's tokens would have cost on other models, tiers, or with a cache."""
    scope = whole_hours(page.scope)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with bound_to_url("models", _USUAL):
            text = st.text_input(
                "Instead on",
                key="models",
                max_chars=400,
                help="provider/model or provider/model@tier, with commas between.",
            )
        with bound_to_url("cached", 0, _percent):
            share = st.number_input(
                "Input from a cache, %",
                min_value=0,
                max_value=100,
                step=10,
                key="cached",
                width=190,
                help="Share of the fresh input that a prompt cache would serve.",
            )
    names = list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    try:
        candidates = [replace(what_if.candidate(name), cached=share / 100) for name in names]
    except ValueError as error:
        st.warning(markdown_text(str(error)), icon=":material/error:")
        return
    if not candidates:
        st.text("Name a model to compare with.")
        return
    data = what_if.replay(load(what_if.mix, scope), candidates)
    most = float(data["cost"].max())
    rows = []
    for item in data.to_dict(orient="records"):
        cost, saving = float(item["cost"]), float(item["saving"])
        known = cost == cost
        first = item["candidate"] == "as it was"
        rows.append(
            row(
                [
                    cell("As it was" if first else str(item["candidate"]), sub=str(item["note"])),
                    cell(formats.usd(cost), bar=cost / most if known and most > 0 else None),
                    cell(formats.NONE if first or not known else _signed(saving), tone=_tone(saving)),
                    cell(
                        formats.NONE
                        if first or item["saving_share"] != item["saving_share"]
                        else f"{item['saving_share']:+.0%}"
                    ),
                ]
            )
        )
    columns = [
        column("On", fit="grow"),
        column("Cost", "right", help="US dollars"),
        column("Saving", "right"),
        column("Share", "right"),
    ]
    table("What if", columns, rows, "whatif")
    st.caption(
        "Tokens are taken over as they are, although another model splits the same text otherwise; whether "
        "its answers would do is not a question of price."
    )
    options = ["--cached", f"{share / 100:g}"] if share else []
    show_command("whatif", *names, *options, *command_options(scope))


def draw_reserved_capacity(page: CostPage) -> None:
    """Draw what reserved units would cost for the period's load, hour by hour."""
    scope = whole_hours(page.scope)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        price = _number("price", "USD per unit and hour", 1.0, 0.0, 0.1, "What one unit costs, used or not.")
        tpm = _number("tpm", "Tokens per minute and unit", 2500.0, 1.0, 100.0, "What one unit serves.")
        weight = _number(
            "weight", "Weight of an output token", 1.0, 0.0, 1.0, "Input tokens that one counts as above."
        )
        step = int(_number("units", "Sold in steps of", 1.0, 1.0, 1.0, "Units come in such steps."))
    unit = reserved_capacity.Unit(price, tpm, weight, step)
    hours = load(reserved_capacity.load, scope)
    data = reserved_capacity.compare(hours, unit)
    if not float(hours["cost"].sum()):
        st.text("No priced call in this time: there is no load to reserve for.")
        return
    best, even = reserved_capacity.best(data), reserved_capacity.break_even(hours, unit)
    total = load(report, scope).iloc[0]
    cards = [
        (
            "Pay-as-you-go",
            formats.usd(float(data["cost"].iloc[0])),
            "What the priced calls did cost.",
        ),
        (
            "Cheapest",
            formats.plural(int(best["units"]), "unit"),
            f"Together {formats.usd(float(best['cost']))}, with what does not fit at pay-as-you-go.",
        ),
        ("Saving", formats.usd(float(best["saving"])), "Against pay-as-you-go alone."),
        (
            "A unit breaks even at",
            formats.percent(even) if even <= 1 else "never",
            f"Use of its capacity at which it costs as much as pay-as-you-go ({formats.percent(even)}).",
        ),
    ]
    for place, (label, value, help) in zip(st.columns(4, gap="small"), cards, strict=True):
        place.metric(label, value, help=help, border=True)
    with st.container(border=True):
        st.subheader("Cost by reserved units", anchor=False)
        st.altair_chart(
            charts.units(data), key="units_chart", alt="Cost by number of reserved units, and what overflows"
        )
    note = "Load is taken as even within an hour: where it comes in bursts, more overflows than shown."
    if int(total["unpriced_calls"]):
        note += f" {formats.plural(int(total['unpriced_calls']), 'unpriced call')} are left out."
    st.caption(note)
    words = ["--price", f"{price:g}", "--tpm", f"{tpm:g}"]
    words += ["--output-weight", f"{weight:g}"] if weight != 1 else []
    words += ["--step", str(step)] if step != 1 else []
    show_command("reserved", *words, *command_options(scope))


def _number(key: str, label: str, default: float, least: float, step: float, help: str) -> float:
    with bound_to_url(key, default, lambda text: _at_least(least, text)):
        value = st.number_input(
            label, min_value=least, step=step, key=key, width=190, help=help, format="%.10g"
        )
    return float(value if value is not None else default)


def _at_least(least: float, text: str) -> float | None:
    value = float(text)
    return value if least <= value < 1e12 else None


def _percent(text: str) -> int | None:
    value = int(text)
    return value if 0 <= value <= 100 else None


def _signed(amount: float) -> str:
    return formats.usd(amount).replace("$-", "−$")


def _tone(saving: float) -> str:
    return "good" if saving > 0 else "warn" if saving < 0 else ""
