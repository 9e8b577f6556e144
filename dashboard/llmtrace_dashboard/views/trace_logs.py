"""What programs logged within a trace, as a part of its page. All of it is shown as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from llmtrace.semconv import EXCEPTION_TYPE
from llmtrace_analysis.queries import traces
from llmtrace_analysis.queries.traces import TraceSummary
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.tables import cell, column, row, table

#: OpenTelemetry's severity numbers from which a record is drawn as a warning, and as bad.
_WARNING: Final = 13
_ERROR: Final = 17


def render(trace: TraceSummary, span_names: Mapping[str, str]) -> None:
    """Draw the records, oldest first; nothing where programs logged nothing. `span_names` are by span id."""
    records = load(traces.trace_logs, trace.trace_id)
    if not records:
        return
    columns = [
        column("After", "right"),
        column("Severity"),
        column("Log record", fit="grow"),
        column("Exception"),
        column("Span", fit="clip"),
        column("Logger", fit="clip"),
    ]
    with st.expander(f"Logs ({len(records):,})"):
        if len(records) >= traces.MAX_LOGS:
            st.caption(f"The first {traces.MAX_LOGS:,} log records are shown.")
        table("Logs", columns, [_row(record, trace, span_names) for record in records], "logs")


def _row(record: dict[str, Any], trace: TraceSummary, span_names: Mapping[str, str]) -> dict[str, Any]:
    number, attributes = record["severity_number"], record["attributes"]
    tone = "bad" if number >= _ERROR else "warn" if number >= _WARNING else "muted"
    listed = "\n".join(f"{name} = {value}" for name, value in sorted(attributes.items()))
    return row(
        [
            cell("+" + formats.seconds((record["at_ns"] - trace.start_ns) / 1e9), tone="muted"),
            cell(record["severity"], tone=tone),
            cell(record["body"][:2000], title=record["body"]),
            cell(attributes.get(EXCEPTION_TYPE, ""), title=listed[:8000]),
            cell(span_names.get(record["span_id"], ""), tone="muted"),
            cell(record["logger"], tone="muted"),
        ]
    )
