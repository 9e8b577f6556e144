"""How long rows are kept: a class per project, written into each row, dropped by whole parts."""

from __future__ import annotations

from collections.abc import Mapping

from llmtrace_collector.sql_values import literals

from .engine import StoreEngine

#: Tables whose rows carry their class.
_TABLES = ("otel_traces", "otel_logs", "otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram")


def set_retention(engine: StoreEngine, days: int, projects: Mapping[str, int]) -> None:
    """New rows get their project's days, `days` where it has none of its own; stored rows keep theirs."""
    default = str(days)
    if projects:
        names = literals(projects)
        values = ", ".join(str(value) for value in projects.values())
        default = f"transform(Project, [{names}], [{values}], {days})"
    for table in _TABLES:
        engine.execute(f"ALTER TABLE {table} MODIFY COLUMN RetentionDays UInt16 DEFAULT {default}")
    longest = max(days, *projects.values()) if projects else days
    engine.execute(
        f"ALTER TABLE otel_traces_trace_id_ts MODIFY TTL Start + toIntervalDay({longest})",
        settings={"materialize_ttl_after_modify": "0"},
    )
