-- The bare store that ours is compared with: the 17 columns of the OpenTelemetry Collector's ClickHouse exporter and one
-- rollup, decoded by the engine from the same bytes, as durable as ours. Nothing of a call is understood, no dialect is
-- translated, nothing is priced. It is a yardstick: it stays as it is when our schema changes.

{% set key_values %}
Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5),
    string_value String,
    bool_value Bool,
    int_value Int64,
    double_value Float64,
    array_value Tuple(values Array(Tuple(string_value String)))
)))
{% endset %}
CREATE TABLE otel_traces (
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
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toStartOfMinute(Timestamp), Timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, index_granularity = 2048;

CREATE TABLE usage_1m (
    Time DateTime CODEC(Delta(4), ZSTD(1)),
    ServiceName LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    Calls SimpleAggregateFunction(sum, UInt64),
    Errors SimpleAggregateFunction(sum, UInt64),
    InputTokens SimpleAggregateFunction(sum, UInt64),
    OutputTokens SimpleAggregateFunction(sum, UInt64),
    DurationSum SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Time)
ORDER BY (Time, ServiceName, Provider, Model)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8;

CREATE FUNCTION bare_map AS (keys, vals) -> mapFromArrays(
    keys,
    arrayMap(
        v -> multiIf(
            v.value = 'string_value', v.string_value,
            v.value = 'int_value', toString(v.int_value),
            v.value = 'double_value', toString(v.double_value),
            v.value = 'bool_value', toString(v.bool_value),
            v.value = 'array_value', toJSONString(v.array_value.values.string_value),
            ''
        ),
        vals
    )
);

CREATE TABLE otlp_traces_in (
    received UInt64,
    request Tuple(
        resource_spans Array(Tuple(
            resource Tuple(attributes {{ key_values }}),
            scope_spans Array(Tuple(
                scope Tuple(name String, version String),
                spans Array(Tuple(
                    trace_id String,
                    span_id String,
                    trace_state String,
                    parent_span_id String,
                    name String,
                    kind Int32,
                    start_time_unix_nano UInt64,
                    end_time_unix_nano UInt64,
                    attributes {{ key_values }},
                    events Array(Tuple(time_unix_nano UInt64, name String, attributes {{ key_values }})),
                    links Array(Tuple(trace_id String, span_id String, trace_state String, attributes {{ key_values }})),
                    status Tuple(message String, code Int32)
                ))
            ))
        ))
    )
)
ENGINE = Null;

CREATE MATERIALIZED VIEW usage_1m_mv TO usage_1m AS
SELECT
    toStartOfMinute(toDateTime(Timestamp)) AS Time,
    ServiceName,
    SpanAttributes['gen_ai.provider.name'] AS Provider,
    SpanAttributes['gen_ai.request.model'] AS Model,
    count() AS Calls,
    countIf(StatusCode = 'Error') AS Errors,
    sum(toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens'])) AS InputTokens,
    sum(toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens'])) AS OutputTokens,
    sum(Duration) AS DurationSum
FROM otel_traces
GROUP BY Time, ServiceName, Provider, Model;

CREATE MATERIALIZED VIEW otlp_traces_mv TO otel_traces AS
SELECT
    fromUnixTimestamp64Nano(toInt64(span.start_time_unix_nano)) AS Timestamp,
    lower(hex(span.trace_id)) AS TraceId,
    lower(hex(span.span_id)) AS SpanId,
    lower(hex(span.parent_span_id)) AS ParentSpanId,
    span.trace_state AS TraceState,
    span.name AS SpanName,
    transform(
        span.kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'], 'Unspecified'
    ) AS SpanKind,
    ResourceAttributes['service.name'] AS ServiceName,
    ResourceAttributes,
    scope.name AS ScopeName,
    scope.version AS ScopeVersion,
    bare_map(span.attributes.key, span.attributes.value) AS SpanAttributes,
    greatest(span.end_time_unix_nano, span.start_time_unix_nano) - span.start_time_unix_nano AS Duration,
    transform(span.status.code, [1, 2], ['Ok', 'Error'], 'Unset') AS StatusCode,
    span.status.message AS StatusMessage,
    arrayMap(t -> fromUnixTimestamp64Nano(toInt64(t)), span.events.time_unix_nano) AS `Events.Timestamp`,
    span.events.name AS `Events.Name`,
    arrayMap(a -> bare_map(a.key, a.value), span.events.attributes) AS `Events.Attributes`,
    arrayMap(t -> lower(hex(t)), span.links.trace_id) AS `Links.TraceId`,
    arrayMap(t -> lower(hex(t)), span.links.span_id) AS `Links.SpanId`,
    span.links.trace_state AS `Links.TraceState`,
    arrayMap(a -> bare_map(a.key, a.value), span.links.attributes) AS `Links.Attributes`
FROM (
    SELECT ResourceAttributes, scope_spans.scope AS scope, arrayJoin(scope_spans.spans) AS span
    FROM (
        SELECT
            bare_map(resource_span.resource.attributes.key, resource_span.resource.attributes.value) AS ResourceAttributes,
            arrayJoin(resource_span.scope_spans) AS scope_spans
        FROM (SELECT arrayJoin(request.resource_spans) AS resource_span FROM otlp_traces_in)
    )
);
