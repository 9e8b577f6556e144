"""Money that bought nothing, money that was saved, and the calls behind each row."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from llmtrace.common.escaping import markdown_text
from llmtrace_analysis.cost.planning import repeats, savings, waste
from llmtrace_analysis.cost.report import CostPage
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.page_links import page_url, trace_url
from llmtrace_dashboard.ui.tables import Column, cell, column, row, table
from llmtrace_dashboard.ui.url_state import bound_to_url, one_of

from .shared import command_options, show_command

#: Kind → what it is called and what it means.
_KINDS = {
    "failed": ("Failed calls", "Ended in an error although tokens were billed"),
    "retry": ("Retries", "Attempts that a later one of the same call replaced"),
    "retry_cannot_help": ("Retries that cannot help", "After an error that the same request gets again"),
    "retry_no_backoff": ("Retries without backoff", "The last wait was no longer than the first"),
    "retry_excess": ("Too many retries", "More than three after the first attempt"),
    "abandoned": ("Abandoned streams", "Left by the application before their end"),
    "duplicate": ("Sent again", "By the same session within minutes, with nothing else asked in between"),
    "long_context": ("Unused context", "Much input for an answer that hardly drew on it"),
    "cacheable": ("Cacheable", "Asked before by anyone; a cache of answers would have had it"),
    "prompt_cache": (
        "Prompt cache",
        "Input read from the provider's cache, less what writing and keeping cost",
    ),
    "batch": ("Batch tier", "Against the same tokens at the standard tier"),
    "response_cache": ("Caches of answers", "Against the calls they stood in for, less look-ups' embeddings"),
}

#: How long a cache would keep an answer that nobody asks for.
_LIFETIMES = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}

_ROWS = 12


def draw(page: CostPage) -> None:
    """Draw waste, savings and repeated requests in US dollars, or the calls of one kind."""
    kind = _controls()
    lifetime = _LIFETIMES[st.session_state["lifetime"]]
    if kind:
        _calls(page, kind, lifetime)
        return
    data = load(waste.by_kind, page.scope, lifetime)
    cacheable = data["kind"] == waste.CACHEABLE
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Spent for nothing", anchor=False)
        _wasted(data[~cacheable])
    with right:
        st.subheader("Saved", anchor=False)
        _saved(load(savings.savings, page.scope, current_settings().exchange_rates))
    st.caption("Read from single calls, so only as far back as these are kept. A call is of one kind alone.")
    chosen = str(st.session_state["lifetime"])
    show_command("waste", "--lifetime", chosen, *command_options(page.scope))
    _repeated(page, data[cacheable].to_dict(orient="records")[0], lifetime)


def _controls() -> str:
    """Offer the kind whose calls are listed, and a cache's lifetime; the kind, or nothing."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kinds = [*waste.KINDS, waste.CACHEABLE]
        with bound_to_url("kind", None, one_of(kinds)):
            st.selectbox(
                "Calls of one kind",
                kinds,
                index=None,
                format_func=lambda name: _called(name)[0],
                key="kind",
                placeholder="All kinds",
                width=220,
            )
        with bound_to_url("lifetime", "24h", one_of(_LIFETIMES)):
            st.selectbox("A cache's lifetime", list(_LIFETIMES), key="lifetime", width=150)
        with bound_to_url("request", ""):
            if st.query_params.get("request") or st.session_state.get("request"):
                st.text_input("Request", key="request", max_chars=16, width=200)
    return st.session_state.get("kind") or ""


def _called(kind: str) -> tuple[str, str]:
    return _KINDS.get(kind, (kind.replace("_", " ").capitalize(), ""))


def _calls(page: CostPage, kind: str, lifetime: timedelta) -> None:
    """Draw the calls of one kind, each with the way to its trace."""
    name, meaning = _called(kind)
    request = (st.session_state.get("request") or "").strip().lower()
    st.subheader(f"{markdown_text(name)}: the calls", anchor=False)
    data = load(waste.calls_of_kind, page.scope, kind, request, lifetime)
    rows = [
        row(
            [
                cell(str(item["time"])),
                cell(str(item["model"]), sub=str(item["service"])),
                cell(str(item["user"]) or formats.NONE, sub=str(item["session"])),
                cell(str(item["prompt"]) or formats.NONE, mono=True),
                cell(
                    formats.about(
                        formats.count(_tokens(item["input_tokens"]) + _tokens(item["output_tokens"])),
                        item["estimated"],
                    )
                ),
                cell(formats.about(_money(float(item["cost"])), item["estimated"])),
            ],
            href=trace_url(str(item["trace"]), str(item["span"])),
        )
        for item in data.head(200).to_dict(orient="records")
    ]
    columns: list[Column] = [
        column("Time"),
        column("Model", fit="grow"),
        column("User"),
        column("Request", help="Equal for equal requests to one model"),
        column("Tokens", "right"),
        column("Cost", "right"),
    ]
    table(f"{name}: the calls", columns, rows, "calls_of_kind", empty="No calls of this kind.")
    st.caption(
        f"{markdown_text(meaning)}. The dearest first, {len(rows)} of {formats.count(len(data))}; "
        "a row leads to its trace."
    )
    options = ["--list", kind, *(["--prompt", request] if request else [])]
    if kind == waste.CACHEABLE:
        options += ["--lifetime", str(st.session_state["lifetime"])]
    show_command("waste", *options, *command_options(page.scope))


def _tokens(number: object) -> int:
    return 0 if number is None or number != number else int(str(number).partition(".")[0])


def _wasted(data: pd.DataFrame) -> None:
    most = float(data["cost"].max())
    rows = []
    for item in data.to_dict(orient="records"):
        name, meaning = _called(str(item["kind"]))
        amount, estimated = float(item["cost"]), int(item["estimated_calls"])
        tokens = formats.count(int(item["input_tokens"]) + int(item["output_tokens"]))
        rows.append(
            row(
                [
                    cell(name, sub=meaning),
                    cell(formats.count(int(item["calls"]))),
                    cell(formats.about(tokens, estimated)),
                    cell(
                        formats.about(_money(amount), estimated),
                        bar=amount / most if most > 0 and amount == amount else None,
                    ),
                ],
                href=_way_down(str(item["kind"])) if item["calls"] else "",
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


def _way_down(kind: str, request: str = "") -> str:
    lifetime = st.query_params.get("lifetime", "")
    return page_url("/cost", view="savings", kind=kind, request=request, lifetime=lifetime)


def _saved(data: pd.DataFrame) -> None:
    rows = []
    for item in data.to_dict(orient="records"):
        name, meaning = _called(str(item["kind"]))
        amount, spent = float(item["saved"]), float(item["spent"])
        tone = "bad" if amount < 0 else "good" if amount > 0 else ""
        parts = f"{_money(float(item['gross']))} less {formats.usd(spent)}" if spent else ""
        cells = [
            cell(name, sub=meaning),
            cell(formats.count(int(item["tokens"]))),
            cell(_money(amount), tone=tone, sub=parts),
        ]
        rows.append(row(cells, href=page_url("/cost", view="caches") if "cache" in item["kind"] else ""))
    columns: list[Column] = [column("What", fit="grow"), column("Tokens", "right"), column("Saved", "right")]
    table("Saved", columns, rows, "savings")
    _unpriced(int(data["unpriced_tokens"].sum()), "token")


def _repeated(page: CostPage, total: dict[Hashable, Any], lifetime: timedelta) -> None:
    """Draw the requests that a cache of answers would have had."""
    st.subheader("Cacheable", anchor=False)
    chosen = str(st.session_state["lifetime"])
    if not total["calls"]:
        st.text(f"No request was asked again within {chosen} of the last time.")
        return
    st.text(
        f"{formats.usd(total['cost'])} in {formats.plural(total['calls'], 'call')} for "
        f"{formats.plural(total['prompts'], 'request')}: what a cache of answers would have kept that holds "
        f"one for {chosen} after it was last asked for. No waste: somebody else asked, or later."
    )
    data = load(repeats.prompts, page.scope, waste.CACHEABLE, lifetime)
    rows = [
        row(
            [
                cell(str(item["text"]) or str(item["prompt"]), sub=str(item["model"])),
                cell(formats.count(float(item["calls"]))),
                cell(formats.count(int(item["users"]))),
                cell(formats.count(int(item["traces"]))),
                cell(_money(float(item["cost"]))),
            ],
            href=_way_down(waste.CACHEABLE, str(item["prompt"])),
        )
        for item in data.head(_ROWS).to_dict(orient="records")
    ]
    columns: list[Column] = [
        column("Request", fit="grow"),
        column("Repeats", "right"),
        column("Users", "right"),
        column("Traces", "right"),
        column("Possible saving", "right"),
    ]
    table("Cacheable requests", columns, rows, "cacheable")
    _unpriced(total["unpriced_calls"], "call")
    show_command("repeats", "--lifetime", chosen, *command_options(page.scope))


def _money(amount: float) -> str:
    return "unpriced" if amount != amount else formats.usd(amount)


def _unpriced(number: int, word: str) -> None:
    if number:
        st.caption(f"{formats.plural(number, word)} without a price are in no sum here.")
