"""Caches: of whole answers, each with its hit rate and what it saved; of prompts, with the time they save."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from llmtrace_analysis.cost.planning import answer_caches, prompt_caches
from llmtrace_analysis.cost.report import CostPage
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.tables import Column, cell, column, row, table

from .shared import command_options, show_command


def draw(page: CostPage) -> None:
    """Draw both, in US dollars."""
    st.subheader("Caches of answers", anchor=False)
    data = load(answer_caches.caches, page.scope)
    if data.empty:
        st.text("No call went by a cache of answers. docs/cost.md says how a cache is seen.")
    else:
        _answers(data)
    show_command("caches", *command_options(page.scope))
    st.subheader("First token, with and without the prompt cache", anchor=False)
    times = load(prompt_caches.first_tokens, page.scope)
    if times.empty:
        least = prompt_caches.LEAST_CALLS
        st.text(f"No length of input has {least} streamed calls with cache reads and {least} without.")
    else:
        _first_tokens(times)
    show_command("caches", "--first-token", *command_options(page.scope))


def _answers(data: pd.DataFrame) -> None:
    rows = []
    for item in data.to_dict(orient="records"):
        net = float(item["net"])
        embedded = float(item["embedding_cost"])
        semantic = int(item["semantic_hits"])
        unpriced = int(item["unpriced_hits"])
        rows.append(
            row(
                [
                    cell(str(item["cache"])),
                    cell(formats.percent(item["hit_rate"]), sub=_of(float(item["lookups"]))),
                    cell(
                        formats.count(item["hits"]),
                        sub=f"{formats.count(semantic)} semantic" if semantic else "",
                    ),
                    cell(formats.count(item["saved_calls"])),
                    cell(formats.seconds(item["saved_seconds"])),
                    cell(formats.usd(embedded) if embedded else formats.NONE),
                    cell(
                        formats.usd(net),
                        tone="bad" if net < 0 else "good" if net > 0 else "",
                        sub=f"+ {formats.plural(unpriced, 'hit')} of unknown worth" if unpriced else "",
                    ),
                ]
            )
        )
    columns: list[Column] = [
        column("Cache", fit="grow"),
        column("Hit rate", "right", help="– where a cache tells of its hits alone"),
        column("Hits", "right"),
        column("Calls saved", "right", help="The model calls that the answers had been made of"),
        column("Time saved", "right", help="What those calls took, less what the hits took"),
        column("Look-ups cost", "right", help="Embeddings that look-ups needed"),
        column("Net saving", "right"),
    ]
    table("Caches of answers", columns, rows, "caches")


def _first_tokens(data: pd.DataFrame) -> None:
    rows = [
        row(
            [
                cell(str(item["model"]), sub=str(item["provider"])),
                cell(f"{formats.count(item['input_from'])} – {formats.count(item['input_to'])}"),
                cell(
                    formats.seconds(item["fresh_ttft"]), sub=formats.plural(int(item["fresh_calls"]), "call")
                ),
                cell(
                    formats.seconds(item["cached_ttft"]),
                    sub=formats.plural(int(item["cached_calls"]), "call"),
                ),
                cell(formats.percent(item["cached_share"])),
                cell(
                    _sooner(float(item["difference"])),
                    tone="good" if item["difference"] > 0 else "bad" if item["difference"] < 0 else "",
                ),
            ]
        )
        for item in data.to_dict(orient="records")
    ]
    columns: list[Column] = [
        column("Model", fit="grow"),
        column("Input tokens", "right"),
        column("Without reads", "right", help="Median seconds to the first token"),
        column("With reads", "right"),
        column("Read", "right", help="Part of the input that was read from the cache"),
        column("Sooner by", "right"),
    ]
    table("First token by length of input", columns, rows, "first_tokens")


def _of(lookups: float) -> str:
    return "" if lookups != lookups else f"of {formats.count(lookups)}"


def _sooner(seconds: float) -> str:
    return formats.seconds(seconds) if seconds >= 0 else f"−{formats.seconds(-seconds)}"
