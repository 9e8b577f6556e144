"""Money that bought nothing, and money that was saved."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmtrace_analysis.cost.planning import waste
from llmtrace_analysis.cost.report import CostPage
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.tables import Column, cell, column, row, table

from .shared import command_options, show_command

#: Kind → what it is called and what it means.
_KINDS = {
    "failed": ("Failed calls", "Ended in an error although tokens were billed"),
    "retry": ("Retries", "Attempts that a later one of the same call replaced"),
    "abandoned": ("Abandoned streams", "Left by the application before their end"),
    "duplicate": ("Repeated prompts", "The same prompt again after it had been answered in full"),
    "long_context": ("Unused context", "Much input for an answer that hardly drew on it"),
    "cache_reads": ("Prompt cache", "Input read from the provider's cache, against fresh input"),
    "batch": ("Batch tier", "Against the same tokens at the standard tier"),
    "response_cache": ("Response cache", "Answers that came from a cache of your own service"),
}


def draw(page: CostPage) -> None:
    """Draw both, in US dollars."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Spent for nothing", anchor=False)
        _wasted(load(waste.waste, page.scope))
    with right:
        st.subheader("Saved", anchor=False)
        _saved(load(waste.savings, page.scope))
    st.caption("Read from single calls, so only as far back as these are kept. A call is of one kind alone.")
    show_command("waste", *command_options(page.scope))


def _called(kind: str) -> tuple[str, str]:
    return _KINDS.get(kind, (kind.replace("_", " ").capitalize(), ""))


def _wasted(data: pd.DataFrame) -> None:
    most = float(data["cost"].max())
    rows = []
    for item in data.to_dict(orient="records"):
        name, meaning = _called(str(item["kind"]))
        amount = float(item["cost"])
        rows.append(
            row(
                [
                    cell(name, sub=meaning),
                    cell(formats.count(int(item["calls"]))),
                    cell(formats.count(int(item["input_tokens"]) + int(item["output_tokens"]))),
                    cell(_money(amount), bar=amount / most if most > 0 and amount == amount else None),
                ]
            )
        )
    columns: list[Column] = [
        column("What", fit="grow"),
        column("Calls", "right"),
        column("Tokens", "right"),
        column("Cost", "right"),
    ]
    table("Spent for nothing", columns, rows, "waste")
    _unpriced(int(data["unpriced_calls"].sum()), "call")


def _saved(data: pd.DataFrame) -> None:
    rows = []
    for item in data.to_dict(orient="records"):
        name, meaning = _called(str(item["kind"]))
        rows.append(
            row(
                [
                    cell(name, sub=meaning),
                    cell(formats.count(int(item["tokens"]))),
                    cell(_money(float(item["saved"])), tone="good"),
                ]
            )
        )
    columns: list[Column] = [column("What", fit="grow"), column("Tokens", "right"), column("Saved", "right")]
    table("Saved", columns, rows, "savings")
    _unpriced(int(data["unpriced_tokens"].sum()), "token")


def _money(amount: float) -> str:
    return "unpriced" if amount != amount else formats.usd(amount)


def _unpriced(number: int, word: str) -> None:
    if number:
        st.caption(f"{formats.plural(number, word)} without a price are in no sum here.")
