-- What keeps the rollup true when evidence about a call arrives after the call was counted.

-- Minutes of usage_10s that no longer agree with otel_traces; they are rebuilt and taken off the list.
CREATE TABLE IF NOT EXISTS usage_stale (
    Minute DateTime,
    Reason LowCardinality(String),
    MarkedAt DateTime64(3) DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY Minute
SETTINGS {durable};

-- How far the spans were looked through, and what came of it.
CREATE TABLE IF NOT EXISTS ledger_passes (
    At DateTime64(3),
    ScannedTo DateTime64(3),
    Looked UInt64,
    Changed UInt64
)
ENGINE = MergeTree
ORDER BY At
TTL toDateTime(At) + toIntervalDay(30)
SETTINGS {durable};
