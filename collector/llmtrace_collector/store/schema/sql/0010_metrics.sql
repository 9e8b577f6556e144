-- Metrics (OTLP /v1/metrics): one table per kind, with the column names of the OpenTelemetry Collector's
-- ClickHouse exporter, then ours.

CREATE TABLE IF NOT EXISTS otel_metrics_gauge (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription LowCardinality(String) CODEC(ZSTD(1)),
    MetricUnit LowCardinality(String) CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TimeUnix DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    Project LowCardinality(String),
    ReceivedAt DateTime64(3) CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT {retention_days}
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(TimeUnix))
ORDER BY (Project, ServiceName, MetricName, TimeUnix)
TTL toDateTime(TimeUnix) + toIntervalDay(RetentionDays)
SETTINGS {durable}, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel_metrics_sum (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription LowCardinality(String) CODEC(ZSTD(1)),
    MetricUnit LowCardinality(String) CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TimeUnix DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    AggregationTemporality Int32 CODEC(ZSTD(1)),
    IsMonotonic Bool CODEC(ZSTD(1)),
    Project LowCardinality(String),
    ReceivedAt DateTime64(3) CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT {retention_days}
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(TimeUnix))
ORDER BY (Project, ServiceName, MetricName, TimeUnix)
TTL toDateTime(TimeUnix) + toIntervalDay(RetentionDays)
SETTINGS {durable}, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otel_metrics_histogram (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription LowCardinality(String) CODEC(ZSTD(1)),
    MetricUnit LowCardinality(String) CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TimeUnix DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    Count UInt64 CODEC(Delta(8), ZSTD(1)),
    Sum Float64 CODEC(ZSTD(1)),
    BucketCounts Array(UInt64) CODEC(ZSTD(1)),
    ExplicitBounds Array(Float64) CODEC(ZSTD(1)),
    Exemplars Nested (
        FilteredAttributes Map(LowCardinality(String), String),
        TimeUnix DateTime64(9),
        Value Float64,
        SpanId String,
        TraceId String
    ) CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Min Float64 CODEC(ZSTD(1)),
    Max Float64 CODEC(ZSTD(1)),
    AggregationTemporality Int32 CODEC(ZSTD(1)),
    Project LowCardinality(String),
    ReceivedAt DateTime64(3) CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT {retention_days}
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(TimeUnix))
ORDER BY (Project, ServiceName, MetricName, TimeUnix)
TTL toDateTime(TimeUnix) + toIntervalDay(RetentionDays)
SETTINGS {durable}, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS otlp_metrics_in (
    project String,
    received UInt64,
    request Tuple(
        resource_metrics Array(Tuple(
            resource Tuple(attributes {key_values}),
            scope_metrics Array(Tuple(
                scope Tuple(name String, version String, attributes {key_values}, dropped_attributes_count UInt32),
                metrics Array(Tuple(
                    name String,
                    description String,
                    unit String,
                    gauge Tuple(data_points Array(Tuple(start_time_unix_nano UInt64, time_unix_nano UInt64, value Enum8('none' = 0, 'as_double' = 4, 'as_int' = 6), as_double Float64, as_int Int64, exemplars Array(Tuple(time_unix_nano UInt64, value Enum8('none' = 0, 'as_double' = 3, 'as_int' = 6), as_double Float64, as_int Int64, span_id String, trace_id String, filtered_attributes {key_values})), attributes {key_values}, flags UInt32))),
                    sum Tuple(data_points Array(Tuple(start_time_unix_nano UInt64, time_unix_nano UInt64, value Enum8('none' = 0, 'as_double' = 4, 'as_int' = 6), as_double Float64, as_int Int64, exemplars Array(Tuple(time_unix_nano UInt64, value Enum8('none' = 0, 'as_double' = 3, 'as_int' = 6), as_double Float64, as_int Int64, span_id String, trace_id String, filtered_attributes {key_values})), attributes {key_values}, flags UInt32)), aggregation_temporality Int32, is_monotonic Bool),
                    histogram Tuple(
                        data_points Array(Tuple(
                            start_time_unix_nano UInt64,
                            time_unix_nano UInt64,
                            count UInt64,
                            sum Float64,
                            bucket_counts Array(UInt64),
                            explicit_bounds Array(Float64),
                            exemplars Array(Tuple(time_unix_nano UInt64, value Enum8('none' = 0, 'as_double' = 3, 'as_int' = 6), as_double Float64, as_int Int64, span_id String, trace_id String, filtered_attributes {key_values})),
                            attributes {key_values},
                            flags UInt32,
                            min Float64,
                            max Float64
                        )),
                        aggregation_temporality Int32
                    )
                )),
                schema_url String
            )),
            schema_url String
        ))
    )
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_metrics_gauge_mv TO otel_metrics_gauge AS
SELECT
    ResourceMap AS ResourceAttributes,
    ResourceSchemaUrl,
    scope_metrics.scope.name AS ScopeName,
    scope_metrics.scope.version AS ScopeVersion,
    arrayMap(e -> {nested_map}, [scope_metrics.scope])[1] AS ScopeAttributes,
    scope_metrics.scope.dropped_attributes_count AS ScopeDroppedAttrCount,
    scope_metrics.schema_url AS ScopeSchemaUrl,
    ResourceMap['service.name'] AS ServiceName,
    metric.name AS MetricName,
    metric.description AS MetricDescription,
    metric.unit AS MetricUnit,
    arrayMap(e -> {nested_map}, [point])[1] AS Attributes,
    fromUnixTimestamp64Nano(toInt64(point.start_time_unix_nano)) AS StartTimeUnix,
    fromUnixTimestamp64Nano(toInt64(point.time_unix_nano)) AS TimeUnix,
    if(point.value = 'as_int', toFloat64(point.as_int), point.as_double) AS Value,
    point.flags AS Flags,
    arrayMap(e -> {nested_map}, arrayMap(x -> CAST(tuple(x.filtered_attributes) AS Tuple(attributes {key_values})), point.exemplars)) AS `Exemplars.FilteredAttributes`,
    arrayMap(x -> fromUnixTimestamp64Nano(toInt64(x.time_unix_nano)), point.exemplars) AS `Exemplars.TimeUnix`,
    arrayMap(x -> if(x.value = 'as_int', toFloat64(x.as_int), x.as_double), point.exemplars) AS `Exemplars.Value`,
    arrayMap(x -> lower(hex(x.span_id)), point.exemplars) AS `Exemplars.SpanId`,
    arrayMap(x -> lower(hex(x.trace_id)), point.exemplars) AS `Exemplars.TraceId`,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, arrayJoin(metric.gauge.data_points) AS point
    FROM (
        SELECT *, arrayJoin(scope_metrics.metrics) AS metric
        FROM (
            SELECT
                project,
                received,
                resource_span.schema_url AS ResourceSchemaUrl,
                {resource_map} AS ResourceMap,
                arrayJoin(resource_span.scope_metrics) AS scope_metrics
            FROM (
                SELECT project, received, arrayJoin(request.resource_metrics) AS resource_span
                FROM otlp_metrics_in
            )
        )
    )
);

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_metrics_sum_mv TO otel_metrics_sum AS
SELECT
    ResourceMap AS ResourceAttributes,
    ResourceSchemaUrl,
    scope_metrics.scope.name AS ScopeName,
    scope_metrics.scope.version AS ScopeVersion,
    arrayMap(e -> {nested_map}, [scope_metrics.scope])[1] AS ScopeAttributes,
    scope_metrics.scope.dropped_attributes_count AS ScopeDroppedAttrCount,
    scope_metrics.schema_url AS ScopeSchemaUrl,
    ResourceMap['service.name'] AS ServiceName,
    metric.name AS MetricName,
    metric.description AS MetricDescription,
    metric.unit AS MetricUnit,
    arrayMap(e -> {nested_map}, [point])[1] AS Attributes,
    fromUnixTimestamp64Nano(toInt64(point.start_time_unix_nano)) AS StartTimeUnix,
    fromUnixTimestamp64Nano(toInt64(point.time_unix_nano)) AS TimeUnix,
    if(point.value = 'as_int', toFloat64(point.as_int), point.as_double) AS Value,
    metric.sum.aggregation_temporality AS AggregationTemporality,
    metric.sum.is_monotonic AS IsMonotonic,
    point.flags AS Flags,
    arrayMap(e -> {nested_map}, arrayMap(x -> CAST(tuple(x.filtered_attributes) AS Tuple(attributes {key_values})), point.exemplars)) AS `Exemplars.FilteredAttributes`,
    arrayMap(x -> fromUnixTimestamp64Nano(toInt64(x.time_unix_nano)), point.exemplars) AS `Exemplars.TimeUnix`,
    arrayMap(x -> if(x.value = 'as_int', toFloat64(x.as_int), x.as_double), point.exemplars) AS `Exemplars.Value`,
    arrayMap(x -> lower(hex(x.span_id)), point.exemplars) AS `Exemplars.SpanId`,
    arrayMap(x -> lower(hex(x.trace_id)), point.exemplars) AS `Exemplars.TraceId`,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, arrayJoin(metric.sum.data_points) AS point
    FROM (
        SELECT *, arrayJoin(scope_metrics.metrics) AS metric
        FROM (
            SELECT
                project,
                received,
                resource_span.schema_url AS ResourceSchemaUrl,
                {resource_map} AS ResourceMap,
                arrayJoin(resource_span.scope_metrics) AS scope_metrics
            FROM (
                SELECT project, received, arrayJoin(request.resource_metrics) AS resource_span
                FROM otlp_metrics_in
            )
        )
    )
);

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_metrics_histogram_mv TO otel_metrics_histogram AS
SELECT
    ResourceMap AS ResourceAttributes,
    ResourceSchemaUrl,
    scope_metrics.scope.name AS ScopeName,
    scope_metrics.scope.version AS ScopeVersion,
    arrayMap(e -> {nested_map}, [scope_metrics.scope])[1] AS ScopeAttributes,
    scope_metrics.scope.dropped_attributes_count AS ScopeDroppedAttrCount,
    scope_metrics.schema_url AS ScopeSchemaUrl,
    ResourceMap['service.name'] AS ServiceName,
    metric.name AS MetricName,
    metric.description AS MetricDescription,
    metric.unit AS MetricUnit,
    arrayMap(e -> {nested_map}, [point])[1] AS Attributes,
    fromUnixTimestamp64Nano(toInt64(point.start_time_unix_nano)) AS StartTimeUnix,
    fromUnixTimestamp64Nano(toInt64(point.time_unix_nano)) AS TimeUnix,
    point.count AS Count,
    point.sum AS Sum,
    point.bucket_counts AS BucketCounts,
    point.explicit_bounds AS ExplicitBounds,
    point.min AS Min,
    point.max AS Max,
    metric.histogram.aggregation_temporality AS AggregationTemporality,
    point.flags AS Flags,
    arrayMap(e -> {nested_map}, arrayMap(x -> CAST(tuple(x.filtered_attributes) AS Tuple(attributes {key_values})), point.exemplars)) AS `Exemplars.FilteredAttributes`,
    arrayMap(x -> fromUnixTimestamp64Nano(toInt64(x.time_unix_nano)), point.exemplars) AS `Exemplars.TimeUnix`,
    arrayMap(x -> if(x.value = 'as_int', toFloat64(x.as_int), x.as_double), point.exemplars) AS `Exemplars.Value`,
    arrayMap(x -> lower(hex(x.span_id)), point.exemplars) AS `Exemplars.SpanId`,
    arrayMap(x -> lower(hex(x.trace_id)), point.exemplars) AS `Exemplars.TraceId`,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, arrayJoin(metric.histogram.data_points) AS point
    FROM (
        SELECT *, arrayJoin(scope_metrics.metrics) AS metric
        FROM (
            SELECT
                project,
                received,
                resource_span.schema_url AS ResourceSchemaUrl,
                {resource_map} AS ResourceMap,
                arrayJoin(resource_span.scope_metrics) AS scope_metrics
            FROM (
                SELECT project, received, arrayJoin(request.resource_metrics) AS resource_span
                FROM otlp_metrics_in
            )
        )
    )
);
