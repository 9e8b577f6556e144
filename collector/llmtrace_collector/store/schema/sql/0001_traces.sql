-- Spans. The engine decodes OTLP itself: bytes go into a Null table shaped like the request, and a
-- materialized view flattens them into `otel_traces`, which has the column names of the OpenTelemetry
-- Collector's ClickHouse exporter, then ours.

CREATE TABLE IF NOT EXISTS otel_traces (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),

    Project LowCardinality(String) DEFAULT if(ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'], 'default'),
    ReceivedAt DateTime64(3) DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT {retention_days},
    StoredAt DateTime64(3) DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    Simulated Bool DEFAULT ResourceAttributes['llmtrace.simulated'] = 'true',
    EndBeforeStart Bool DEFAULT false,
{default_columns},

    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_response_id ResponseId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(Timestamp))
ORDER BY (Project, toStartOfMinute(Timestamp), ServiceName, SpanName, Timestamp)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS {durable}, ttl_only_drop_parts = 1, index_granularity = 2048;

CREATE TABLE IF NOT EXISTS otel_traces_trace_id_ts (
    TraceId String CODEC(ZSTD(1)),
    Start DateTime CODEC(Delta(4), ZSTD(1)),
    End DateTime CODEC(Delta(4), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(Start)
ORDER BY (TraceId, Start)
TTL Start + toIntervalDay({retention_days})
SETTINGS {durable}, ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts AS
SELECT
    TraceId,
    toDateTime(min(Timestamp)) AS Start,
    toDateTime(max(Timestamp)) AS End
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId;

-- Requests whose spans use the current convention's keys, or are not about models at all.
CREATE TABLE IF NOT EXISTS otlp_traces_in (
    project String,
    received UInt64,
    request Tuple(
        resource_spans Array(Tuple(
            resource Tuple(attributes {key_values}),
            scope_spans Array(Tuple(
                scope Tuple(name String, version String, attributes {key_values}),
                spans Array(Tuple(
                    trace_id String,
                    span_id String,
                    trace_state String,
                    parent_span_id String,
                    name String,
                    kind Int32,
                    start_time_unix_nano UInt64,
                    end_time_unix_nano UInt64,
                    attributes {key_values},
                    events Array(Tuple(time_unix_nano UInt64, name String, attributes {key_values})),
                    links Array(Tuple(trace_id String, span_id String, trace_state String, attributes {key_values})),
                    status Tuple(message String, code Int32)
                ))
            ))
        ))
    )
)
ENGINE = Null;

-- The same segments again, where a span of theirs speaks another dialect.
CREATE TABLE IF NOT EXISTS otlp_foreign_in AS otlp_traces_in ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_traces_mv TO otel_traces AS
{plain_spans};

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_foreign_mv TO otel_traces AS
{foreign_spans};
