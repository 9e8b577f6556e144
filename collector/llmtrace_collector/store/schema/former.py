"""What earlier releases had, and what became of it: the only part of the schema that looks back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: The table by which the first releases knew what a store had. What is left of it makes them stop.
VERSIONS = "schema_versions"

#: Columns that are no more, by table: they are dropped. What else is there and not ours stays.
COLUMNS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "usage_10s": frozenset({"Simulated"}),
        "usage_hour": frozenset({"Simulated"}),
        "trace_rows": frozenset(
            {
                "CacheWrite1hTokens",
                "AudioInputTokens",
                "CacheReadAudioTokens",
                "CacheReadImageTokens",
                "AudioOutputTokens",
                "ImageOutputTokens",
                "WebSearches",
                "FileSearches",
            }
        ),
    }
)

#: Skipping indexes that are no more, by table.
INDEXES: Mapping[str, frozenset[str]] = MappingProxyType({})

#: Tables and views that are no more.
OBJECTS = frozenset({"decoding_views", "otel_traces_trace_id_ts_mv", "usage_hour_mv"})

#: Tables whose place a view took: the rows in them are worth nothing once it is there.
REPLACED = frozenset({"prices", "usage_hour"})

#: Tables that have another name now: the new one's → the former one's.
TABLES: Mapping[str, str] = MappingProxyType({"usage_hour_closed": "usage_hour"})


#: What the embedded store had in `default`, before it had a database of its own.
IN_DEFAULT = frozenset(
    (
        "api_keys attempt_cost audit_log call_cost completeness completeness_counts "
        "completeness_otel_logs_mv completeness_otel_metrics_gauge_mv "
        "completeness_otel_metrics_histogram_mv completeness_otel_metrics_sum_mv "
        "completeness_otel_traces_mv cost_closed cost_hour decoding_views delivery_log discount_book "
        "discount_now fixed_costs incident_history incident_versions incidents ledger_passes otel_logs "
        "otel_metrics_gauge otel_metrics_histogram otel_metrics_sum otel_traces otel_traces_trace_id_ts "
        "otel_traces_trace_id_ts_mv otlp_foreign_in otlp_foreign_mv otlp_logs_in otlp_logs_mv "
        "otlp_metrics_gauge_mv otlp_metrics_histogram_mv otlp_metrics_in otlp_metrics_sum_mv "
        "otlp_traces_in otlp_traces_mv own_discounts own_prices price_book price_books price_now prices "
        "scores scores_mv sdk_reports span_cost span_messages usage_10s usage_10s_mv usage_cost "
        "usage_hour usage_hour_mv usage_stale webhook_deliveries "
    ).split()
)


#: What a server's had besides: where others write.
ON_SERVER = frozenset({"landing_traces", "landing_traces_mv", "landing_traces_foreign_mv"})


@dataclass(frozen=True)
class Successor:
    """How a column is made of one that a table had before, where the table is made anew."""

    former: str
    expression: str


#: Columns in the place of former ones, by table and name.
SUCCESSORS: Mapping[tuple[str, str], Successor] = MappingProxyType(
    {
        (table, "Purpose"): Successor("Simulated", "if(Simulated, 'simulated', 'product')")
        for table in ("usage_10s", "usage_hour_closed")
    }
    # What was stored before an upgrade never becomes one row with what comes after.
    | {
        (table, "LateAt"): Successor("Time", "toDateTime64(1, 3)")
        for table in ("usage_10s", "usage_hour_closed")
    }
)
