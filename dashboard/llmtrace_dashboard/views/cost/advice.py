"""What would make calls cheaper: the rule, what it would save, and the traces."""

from __future__ import annotations

import streamlit as st

from llmtrace_analysis.cost.planning import advice
from llmtrace_analysis.cost.report import CostPage
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.page_links import trace_url
from llmtrace_dashboard.ui.tables import Column, cell, column, row, table

from .shared import command_options, show_command

_RULES = {
    "output_limit": "Output limit never near",
    "stop_sequences": "Stop sequences never reached",
    "smaller_model": "A cheaper model is as good",
    "unread_context": "History is sent again, not read from a cache",
}


def draw(page: CostPage) -> None:
    """Draw a row for each piece of advice, in US dollars."""
    data = load(advice.advice, page.scope)
    st.subheader("Advice", anchor=False)
    rows = []
    for item in data.to_dict(orient="records"):
        traces = [trace for trace in str(item["traces"]).split(", ") if trace]
        words = [str(item[name]) for name in ("service", "prompt_name") if item[name]]
        words += [f"try {item['instead']}"] if item["instead"] else []
        rows.append(
            row(
                [
                    cell(_RULES[item["rule"]], sub=str(item["why"])),
                    cell(str(item["model"]), sub=", ".join(words)),
                    cell(formats.count(int(item["calls"]))),
                    cell(formats.count(item["saves_tokens"])),
                    cell(formats.usd(item["saves_usd"])),
                ],
                href=trace_url(traces[0]) if traces else "",
            )
        )
    columns: list[Column] = [
        column("What", fit="grow"),
        column("Calls of", fit="grow"),
        column("Calls", "right"),
        column("Tokens of limits", "right", help="Of rate limits and reserved capacity, not of the bill"),
        column("Would save", "right"),
    ]
    table("Advice", columns, rows, "advice", empty="No rule fits these calls.")
    for rule in data["rule"].drop_duplicates():
        st.caption(f"{_RULES[rule]}: {advice.RULES[rule]}.")
    show_command("advice", *command_options(page.scope))
