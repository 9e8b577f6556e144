-- API keys, of which only the hash is kept; what administrators did; and the project of each trace, so that
-- a project's key reads its own alone.

CREATE TABLE IF NOT EXISTS api_keys (
    KeyId String,
    Name String,
    Project LowCardinality(String),
    Role LowCardinality(String),
    Hash String,
    RequestsPerMinute UInt32,
    CreatedAt DateTime64(3),
    RevokedAt Nullable(DateTime64(3)),
    Version UInt64
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY KeyId
SETTINGS {durable};

CREATE TABLE IF NOT EXISTS audit_log (
    Project LowCardinality(String),
    At DateTime64(3),
    KeyId String,
    Action LowCardinality(String),
    Target String,
    Detail String,
    Address String
)
ENGINE = MergeTree
ORDER BY (At, Project)
SETTINGS {durable};

ALTER TABLE otel_traces_trace_id_ts ADD COLUMN IF NOT EXISTS Project LowCardinality(String);

ALTER TABLE otel_traces_trace_id_ts_mv MODIFY QUERY
SELECT
    TraceId,
    Project,
    toDateTime(min(Timestamp)) AS Start,
    toDateTime(max(Timestamp)) AS End
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId, Project;
