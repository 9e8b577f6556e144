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
{default_columns},

    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_response_id ResponseId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(Timestamp))
ORDER BY (Project, toStartOfMinute(Timestamp), ServiceName, SpanName, Timestamp)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS {durable}, ttl_only_drop_parts = 1;

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

-- Keys are reversed so that of a key sent twice the last comes first. What a level names is computed once, and
-- the wide type of a whole span stays in the innermost.
CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_traces_mv TO otel_traces AS
SELECT
    fromUnixTimestamp64Nano(toInt64(started)) AS Timestamp,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    SpanName,
    SpanKind,
    ResourceMap['service.name'] AS ServiceName,
    ResourceMap AS ResourceAttributes,
    scope_name AS ScopeName,
    ScopeVersion,
    {span_map} AS SpanAttributes,
    Duration,
    StatusCode,
    StatusMessage,
    arrayMap(t -> fromUnixTimestamp64Nano(toInt64(t)), event_times) AS `Events.Timestamp`,
    event_names AS `Events.Name`,
    event_maps AS `Events.Attributes`,
    link_traces AS `Links.TraceId`,
    link_spans AS `Links.SpanId`,
    link_states AS `Links.TraceState`,
    link_maps AS `Links.Attributes`,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    ReceivedAt,
{computed_selects}
FROM (
    SELECT
        *,
        {texts},
        {kept} AS keep
    FROM (
        <translated>
            SELECT
                *,
                {is_foreign} AS foreign
            FROM (
                SELECT
                    project,
                    ReceivedAt,
                    ResourceMap,
                    scope_name,
                    ScopeVersion,
                    lower(hex(span.trace_id)) AS TraceId,
                    lower(hex(span.span_id)) AS SpanId,
                    lower(hex(span.parent_span_id)) AS ParentSpanId,
                    span.trace_state AS TraceState,
                    span.name AS SpanName,
                    transform(span.kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'], 'Unspecified') AS SpanKind,
                    transform(span.status.code, [1, 2], ['Ok', 'Error'], 'Unset') AS StatusCode,
                    span.status.message AS StatusMessage,
                    span.start_time_unix_nano AS started,
                    if(span.end_time_unix_nano > started, span.end_time_unix_nano - started, 0) AS Duration,
                    arrayReverse(span.attributes.key) AS keys,
                    arrayReverse(arrayMap(v -> {any_value}, span.attributes.value)) AS vals,
                    {codes} AS codes,
                    arrayMap(e -> e.name, span.events) AS event_names,
                    arrayMap(e -> e.time_unix_nano, span.events) AS event_times,
                    arrayMap(e -> {nested_map}, span.events) AS event_maps,
                    arrayMap(e -> lower(hex(e.trace_id)), span.links) AS link_traces,
                    arrayMap(e -> lower(hex(e.span_id)), span.links) AS link_spans,
                    arrayMap(e -> e.trace_state, span.links) AS link_states,
                    arrayMap(e -> {nested_map}, span.links) AS link_maps
                FROM (
                    SELECT
                        project,
                        ReceivedAt,
                        ResourceMap,
                        scope_spans.scope.name AS scope_name,
                        scope_spans.scope.version AS ScopeVersion,
                        arrayJoin(scope_spans.spans) AS span
                    FROM (
                        SELECT
                            project,
                            ReceivedAt,
                            {resource_map} AS ResourceMap,
                            arrayJoin(resource_span.scope_spans) AS scope_spans
                        FROM (
                            SELECT
                                project,
                                fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt,
                                arrayJoin(request.resource_spans) AS resource_span
                            FROM otlp_traces_in
                        )
                    )
                )
            )
        </translated>
    )
    WHERE {not_pending}
);
