"""Which prices were used, where they come from, and what has none."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from llmtrace_analysis.cost import prices_in_use
from llmtrace_analysis.cost.report import CostPage
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.page_links import page_url
from llmtrace_dashboard.ui.tables import cell, column, row, table

from .shared import show_command

#: Unpriced models that the page writes the command for.
_SPELLED_OUT = 3


def warning(missing: pd.DataFrame) -> None:
    """Say that calls have no price, and the command that gives them one; nothing where all are priced."""
    if missing.empty:
        return
    with st.container(border=True):
        left, right = st.columns([2, 3], gap="medium", vertical_alignment="center")
        left.text(
            f"{formats.plural(int(missing['calls'].sum()), 'call')} to "
            f"{formats.plural(len(missing), 'model')} without a price are in no sum here. Give a price; what "
            "is stored is priced anew at once:"
        )
        right.code(_commands(missing), language="bash", wrap_lines=True)


def _unpriced(data: pd.DataFrame) -> None:
    st.subheader("Without a price", anchor=False)
    rows = [
        row(
            [
                cell(
                    str(item["model"]) or "no model named",
                    href=page_url("/traces", model=str(item["model"])),
                    sub=f"in tier {item['tier']}" if item["tier"] else "",
                    title=str(item["model"]),
                ),
                cell(str(item["provider"]) or formats.NONE),
                cell(formats.count(int(item["calls"]))),
                cell(formats.count(int(item["input_tokens"]))),
                cell(formats.count(int(item["output_tokens"]))),
            ]
        )
        for item in data.to_dict(orient="records")
    ]
    columns = [
        column("Model", fit="grow"),
        column("Provider"),
        column("Calls", "right"),
        column("Input", "right"),
        column("Output", "right"),
    ]
    table("Models without a price", columns, rows, "unpriced")


def _commands(data: pd.DataFrame) -> str:
    """`llmtrace cost prices set` for the most called models, each with zeros to replace."""
    named = data[(data["model"] != "") & (data["provider"] != "")]
    pairs = dict.fromkeys(zip(named["provider"], named["model"], strict=True))
    return "\n".join(
        shlex.join(
            [
                *("llmtrace", "cost", "prices", "set"),
                f"{provider}/{model}",
                *("--input", "0.00", "--output", "0.00"),
            ]
        )
        for provider, model in list(pairs)[:_SPELLED_OUT]
    )


def draw(page: CostPage) -> None:
    """Draw the prices in use, in US dollars as lists quote them."""
    data = load(prices_in_use.by_price, page.scope)
    rows = [
        row(
            [
                cell(
                    str(item["model"]),
                    href=page_url("/traces", model=str(item["model"])),
                    sub=_qualities(item),
                    title=str(item["model"]),
                ),
                cell(str(item["provider"])),
                cell(formats.price(item["input_price"])),
                cell(formats.price(item["cache_read_price"])),
                cell(formats.price(item["output_price"])),
                cell(formats.count(int(item["calls"]))),
                cell(formats.count(int(item["input_tokens"]))),
                cell(formats.count(int(item["output_tokens"]))),
                cell(_source(str(item["source"])), tone="muted"),
                cell(formats.usd(float(item["cost"]))),
            ]
        )
        for item in data.to_dict(orient="records")
    ]
    columns = [
        column("Model", fit="grow"),
        column("Provider"),
        column("$ / M in", "right", help="US dollars per million input tokens"),
        column("$ / M cached", "right", help="US dollars per million input tokens read from cache"),
        column("$ / M out", "right", help="US dollars per million output tokens"),
        column("Calls", "right"),
        column("Input", "right"),
        column("Output", "right"),
        column("Price from"),
        column("Cost", "right", help="US dollars"),
    ]
    st.subheader("Prices in use", anchor=False)
    table("Prices in use", columns, rows, "prices", "No call in this time has a price.")
    show_command("prices", "list")
    if len(page.unpriced):
        _unpriced(page.unpriced)


def _qualities(item: Mapping[Hashable, Any]) -> str:
    """What a row's price depends on beyond the model."""
    words = []
    answered = str(item["response_model"])
    if answered and answered != item["model"]:
        words.append(f"answered by {answered}")
    if item["tier"]:
        words.append(f"tier {item['tier']}")
    if item["context_from"]:
        words.append(f"input over {formats.count(float(item['context_from']))} tokens")
    return ", ".join(words)


def _source(source: str) -> str:
    return "llmtrace.toml" if source == "config" else source
