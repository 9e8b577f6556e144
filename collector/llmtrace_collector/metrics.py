"""What the collector counts about itself, for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass
class CollectorMetrics:
    """The collector's instruments in a registry of their own: two collectors may live in one process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        registry = self.registry
        self.received = Counter(
            "llmtrace_received_items", "Spans or log records acknowledged.", ["signal"], registry=registry
        )
        self.rejected = Counter(
            "llmtrace_rejected_items",
            "Spans or log records refused in an otherwise accepted request.",
            ["signal"],
            registry=registry,
        )
        self.completeness = Counter(
            "llmtrace_service_items",
            "Spans, log records or data points of a service: received, stored, rejected, duplicate, "
            "quarantined.",
            ["service", "signal", "outcome"],
            registry=registry,
        )
        self.flagged = Counter(
            "llmtrace_flagged_calls",
            "Calls whose usage contradicts itself, or that are not counted because others tell of them; "
            "spans that end before they start.",
            ["service", "flag"],
            registry=registry,
        )
        self.sdk_spans = Gauge(
            "llmtrace_sdk_spans",
            "What the SDK processes of the last day say they generated, sent, spooled and dropped; lost: "
            "what those had in memory that were killed.",
            ["service", "what"],
            registry=registry,
        )
        self.repeated = Counter(
            "llmtrace_repeated_requests",
            "Requests acknowledged again and not stored twice.",
            ["signal"],
            registry=registry,
        )
        self.refused = Counter(
            "llmtrace_refused_requests",
            "Requests answered with an error.",
            ["signal", "code"],
            registry=registry,
        )
        self.stored_segments = Counter(
            "llmtrace_stored_segments", "Segments of the log that reached the store.", registry=registry
        )
        self.quarantined_segments = Counter(
            "llmtrace_quarantined_segments",
            "Segments, or pieces of them, that the store refused and that were set aside.",
            registry=registry,
        )
        self.quarantined = Counter(
            "llmtrace_quarantined_items",
            "Spans, log records or data points that were set aside.",
            ["signal"],
            registry=registry,
        )
        self.damaged_bytes = Counter(
            "llmtrace_damaged_log_bytes",
            "Bytes of the log that could not be read any more and were set aside.",
            ["signal"],
            registry=registry,
        )
        self.damaged_requests = Counter(
            "llmtrace_damaged_log_requests",
            "Acknowledged requests in them, as far as they could be counted.",
            ["signal"],
            registry=registry,
        )
        self.missing_segments = Gauge(
            "llmtrace_missing_log_segments",
            "Segments of the log whose files somebody took away, until their entries in the quarantine are "
            "deleted.",
            registry=registry,
        )
        self.split_segments = Counter(
            "llmtrace_split_segments",
            "Segments that the store refused and that were bisected to store what is good of them.",
            registry=registry,
        )
        self.store_failures = Counter(
            "llmtrace_store_failures", "Insert attempts that will be retried.", registry=registry
        )
        self.log_bytes = Gauge(
            "llmtrace_log_bytes",
            "Acknowledged bytes on disk that are not in the store yet.",
            registry=registry,
        )
        self.insert_seconds = Histogram(
            "llmtrace_insert_seconds", "Time to insert one segment.", registry=registry
        )
        self.ack_seconds = Histogram(
            "llmtrace_ack_seconds",
            "Time from the end of the request body to its acknowledgement.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
            registry=registry,
        )
        self.security_events = Counter(
            "llmtrace_collector_security_events",
            "Keys refused or used from new addresses, reads denied, requests of foreign pages.",
            ["kind"],
            registry=registry,
        )
        self.reads = Counter("llmtrace_reads", "SELECTs answered or refused.", ["outcome"], registry=registry)
        self.task_failures = Counter(
            "llmtrace_task_failures", "Passes of a background task that failed.", ["task"], registry=registry
        )
        self.disk_free_bytes = Gauge(
            "llmtrace_disk_free_bytes", "Bytes free on the disk of data_dir.", registry=registry
        )
        self.disk_full = Gauge(
            "llmtrace_disk_full",
            "1 while the disk of data_dir is full, so that senders get 503.",
            registry=registry,
        )
        self.task_last_success = Gauge(
            "llmtrace_task_last_success_timestamp_seconds",
            "Unix time at which a thread or background task last finished its work; 0 before that.",
            ["task"],
            registry=registry,
        )
        self.task_lag = Gauge(
            "llmtrace_task_lag_seconds",
            "Time since a thread or background task began what it has not finished yet; 0 when idle.",
            ["task"],
            registry=registry,
        )
        self.oldest_unstored = Gauge(
            "llmtrace_oldest_unstored_segment_age_seconds",
            "Age of the oldest segment of the log that is not in the store yet.",
            registry=registry,
        )
        self.ledger_difference = Gauge(
            "llmtrace_ledger_difference_rows",
            "Rows by which what was stored and what the store holds now differ; anything but 0 is wrong.",
            ["signal"],
            registry=registry,
        )
        self.broken_parts = Gauge(
            "llmtrace_broken_parts",
            "Parts of the store that the engine set aside as broken, or that are damaged on disk.",
            ["state"],
            registry=registry,
        )
        self.rollup_pass_seconds = Gauge(
            "llmtrace_rollup_pass_seconds",
            "Time that the last pass over hours, steps and traces took.",
            registry=registry,
        )
        self.rollup_lag_seconds = Gauge(
            "llmtrace_rollup_lag_seconds",
            "How far hours, steps and traces are behind the spans.",
            registry=registry,
        )
