-- Log records (OTLP /v1/logs); evaluation results among them become scores.

CREATE TABLE IF NOT EXISTS otel_logs (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName LowCardinality(String) CODEC(ZSTD(1)),
    Project LowCardinality(String) DEFAULT if(ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'], 'default'),
    ReceivedAt DateTime64(3) DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT {retention_days},
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(Timestamp))
ORDER BY (Project, toStartOfMinute(Timestamp), ServiceName, Timestamp)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS {durable}, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otlp_logs_in (
    project String,
    received UInt64,
    request Tuple(
        resource_logs Array(Tuple(
            resource Tuple(attributes {key_values}),
            scope_logs Array(Tuple(
                scope Tuple(name String, version String, attributes {key_values}),
                log_records Array(Tuple(
                    time_unix_nano UInt64,
                    observed_time_unix_nano UInt64,
                    severity_number Int32,
                    severity_text String,
                    body {value},
                    attributes {key_values},
                    flags UInt32,
                    trace_id String,
                    span_id String,
                    event_name String
                ))
            ))
        ))
    )
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_logs_mv TO otel_logs AS
SELECT
    fromUnixTimestamp64Nano(toInt64(if(record.time_unix_nano != 0, record.time_unix_nano, record.observed_time_unix_nano))) AS Timestamp,
    lower(hex(record.trace_id)) AS TraceId,
    lower(hex(record.span_id)) AS SpanId,
    toUInt8(bitAnd(record.flags, 255)) AS TraceFlags,
    named[1] AS SeverityText,
    toUInt8(record.severity_number) AS SeverityNumber,
    ResourceMap['service.name'] AS ServiceName,
    {log_body} AS Body,
    ResourceMap AS ResourceAttributes,
    named[3] AS ScopeName,
    named[4] AS ScopeVersion,
    {log_map} AS LogAttributes,
    named[2] AS EventName,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, {log_names} AS named FROM (
    SELECT
        project,
        received,
        ResourceMap,
        scope_logs.scope.name AS scope_name,
        scope_logs.scope.version AS scope_version,
        arrayJoin(scope_logs.log_records) AS record
    FROM (
        SELECT
            project,
            received,
            {resource_map} AS ResourceMap,
            arrayJoin(resource_span.scope_logs) AS scope_logs
        FROM (
            SELECT project, received, arrayJoin(request.resource_logs) AS resource_span
            FROM otlp_logs_in
        )
    )
    )
);

CREATE TABLE IF NOT EXISTS scores (
    Project LowCardinality(String),
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ResponseId String CODEC(ZSTD(1)),
    Name LowCardinality(String),
    Value Nullable(Float64),
    Label LowCardinality(String),
    Explanation String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Timestamp)
ORDER BY (Project, Name, Timestamp)
SETTINGS {durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS scores_mv TO scores AS
SELECT
    Project,
    Timestamp,
    TraceId,
    SpanId,
    LogAttributes['gen_ai.response.id'] AS ResponseId,
    LogAttributes['gen_ai.evaluation.name'] AS Name,
    toFloat64OrNull(LogAttributes['gen_ai.evaluation.score.value']) AS Value,
    LogAttributes['gen_ai.evaluation.score.label'] AS Label,
    LogAttributes['gen_ai.evaluation.explanation'] AS Explanation,
    ServiceName
FROM otel_logs
WHERE EventName = 'gen_ai.evaluation.result';
