"""Traces: find them, then open one. `/traces?trace=<id>&span=<id>` opens it directly."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from llmtrace_analysis.queries import trace_search
from llmtrace_analysis.queries.scope import Scope, moment
from llmtrace_analysis.queries.trace_search import TraceFilter
from llmtrace_analysis.queries.traces import TraceSummary
from llmtrace_collector.store.search import Search, SearchError, parse
from llmtrace_dashboard.ui import charts, filters, formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.page_frame import empty, header, live
from llmtrace_dashboard.ui.page_links import follow, page_url, trace_url
from llmtrace_dashboard.ui.search_box import search_box, search_error
from llmtrace_dashboard.ui.tables import cell, column, cost_cell, row, status_cell, table
from llmtrace_dashboard.ui.url_state import bound_to_url, one_of
from llmtrace_dashboard.views import trace as trace_view

PAGE_SIZE = 25

#: In the session's state: the trace that the search box opened.
_OPENED = "opened_by_id"

_STATUS = {"failed": "Failed", "recovered": "Recovered", "error": "Failed or recovered", "ok": "Succeeded"}
#: Filters that only links of other pages set; each has a field while it is set.
_LINKED = ("provider", "prompt", "tag")
_DURATIONS = {"1": "over 1 s", "5": "over 5 s", "15": "over 15 s", "60": "over 1 min"}


def _trace_filter() -> TraceFilter:
    state = st.session_state
    return TraceFilter(
        session=(state.get("session") or "").strip(),
        experiment=(state.get("experiment") or "").strip(),
        provider=(state.get("provider") or "").strip(),
        prompt=(state.get("prompt") or "").strip(),
        tag=(state.get("tag") or "").strip(),
        text=(state.get("q") or "").strip(),
        status=state.get("status") or "",
        min_duration=float(state.get("longer") or 0),
    )


def _filters() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search_box("q", 'Words and "phrases", or fields: model:gpt-5* cost>0.01 status:failed')
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with bound_to_url("status", None, one_of(_STATUS)):
            st.selectbox(
                "Status",
                list(_STATUS),
                index=None,
                format_func=_STATUS.__getitem__,
                key="status",
                placeholder="Any",
                width=150,
            )
        with bound_to_url("longer", None, one_of(_DURATIONS)):
            st.selectbox(
                "Duration",
                list(_DURATIONS),
                index=None,
                format_func=_DURATIONS.__getitem__,
                key="longer",
                placeholder="Any",
                width=132,
            )
        for label, key in (("Session", "session"), ("Experiment", "experiment")):
            with bound_to_url(key, ""):
                st.text_input(label, key=key, placeholder="Any", max_chars=200, width=180)
        for key in _LINKED:
            with bound_to_url(key, ""):
                if key in st.query_params or st.session_state.get(key):
                    st.text_input(key.capitalize(), key=key, placeholder="Any", max_chars=200, width=180)


def render() -> None:
    """Draw the list's data, or say what is wrong with the search."""
    try:
        search = _trace_filter().search(filters.scope())
    except SearchError as error:
        search_error("q", error)
        return
    scope = trace_search.searched(filters.scope(), search, filters.zone())
    _list(scope, search)


def _list(scope: Scope, search: Search) -> None:
    series = load(trace_search.traces_over_time, scope, search)
    total, failed = int(series["calls"].sum()), int(series["errors"].sum())
    recovered = int(series["recovered"].sum())
    if not total:
        empty("traces")
        return
    # A chart of ten years with one bar says nothing.
    if not search.names_an_id:
        with st.container(border=True):
            st.altair_chart(
                charts.calls(
                    series, filters.zone(), (scope.since, scope.until), scope.step, "Traces", height=150
                ),
                key="histogram",
                alt=f"{total} traces over time, {failed} of them failed",
            )
    pages = -(-total // PAGE_SIZE)
    place = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        note = st.container(width="content")
        number = 1
        if pages > 1:
            if st.session_state.get("page", 1) > pages:
                st.session_state["page"] = pages
            with bound_to_url("page", 1, lambda text: min(max(1, int(text)), pages)):
                number = st.pagination(pages, key="page")
    summaries = load(trace_search.traces_page, scope, search, PAGE_SIZE, (number - 1) * PAGE_SIZE)
    first = (number - 1) * PAGE_SIZE + 1
    note.caption(
        f"{first:,}–{first + len(summaries) - 1:,} of {formats.plural(total, 'trace')}, newest first"
        f" · {formats.count(failed)} failed · {formats.count(recovered)} recovered"
        f"{_period(scope, search)}"
        f" · updated {datetime.now(UTC).astimezone(filters.zone()):%H:%M:%S}"
    )
    with place:
        _table(summaries)


def _period(scope: Scope, search: Search) -> str:
    """The search's own period in words, where it has one."""
    if search.since is None and search.until is None:
        return ""
    since, until = (end.astimezone(filters.zone()) for end in (scope.since, scope.until))
    return f" · {since:%d %b %Y %H:%M} – {until:%d %b %Y %H:%M}, as the search says"


def _table(summaries: list[TraceSummary]) -> None:
    now, zone = datetime.now(UTC), filters.zone()
    rows = []
    for trace in summaries:
        started = moment(trace.start_ns / 1e6)
        rows.append(
            row(
                [
                    cell(
                        formats.clock(started, zone, now),
                        href=trace_url(trace.trace_id),
                        sub=trace.service,
                        title=trace.trace_id,
                    ),
                    cell(trace.name, sub=trace.preview, title=trace.preview or trace.name),
                    status_cell(trace.status, trace.failed_steps, trace.retries),
                    cell(
                        _several(trace.models),
                        title=", ".join(trace.models),
                        tone="" if trace.models else "muted",
                    ),
                    cell(trace.user or formats.NONE, title=trace.user, tone="" if trace.user else "muted"),
                    cell(formats.seconds(trace.seconds)),
                    cell(formats.seconds(trace.ttft)),
                    cell(
                        formats.about(
                            formats.count(trace.input_tokens + trace.output_tokens), trace.estimated
                        )
                        if trace.calls
                        else formats.NONE
                    ),
                    cost_cell(trace.cost, trace.unpriced, trace.calls, estimated=trace.estimated)
                    if trace.calls
                    else cell(formats.NONE),
                ],
                href=trace_url(trace.trace_id),
            )
        )
    columns = [
        column("Started"),
        column("Trace", fit="grow"),
        column("Status"),
        column("Models", fit="clip"),
        column("User", fit="clip"),
        column("Duration", "right"),
        column("First token", "right", help="Time to first token of the trace's first streamed call"),
        column("Tokens", "right"),
        column("Cost", "right"),
    ]
    table("Traces", columns, rows, "traces")


def _several(names: tuple[str, ...]) -> str:
    if not names:
        return formats.NONE
    return names[0] if len(names) == 1 else f"{names[0]} + {len(names) - 1}"


def main() -> None:
    """Draw the trace that the address names, else the list."""
    trace_id = st.query_params.get("trace", "").strip().lower()
    if trace_id:
        live(lambda: trace_view.render(trace_id), refresh=False)
        return
    header("Traces", filters.range_label(), refreshing=False)
    _filters()
    _open_id()
    live(render)


def _open_id() -> None:
    """Whoever pastes the id of a trace wants to see it, whenever it was; once, so that the way back from it
    does not lead there again.
    """
    try:
        trace_id = parse(st.session_state.get("q") or "").trace_id
    except SearchError:
        trace_id = ""
    opened = st.session_state.get(_OPENED, "")
    st.session_state[_OPENED] = trace_id
    if trace_id and trace_id != opened:
        follow(page_url("/traces", trace=trace_id))


if __name__ == "__main__":
    main()
