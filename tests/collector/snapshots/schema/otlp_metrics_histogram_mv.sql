CREATE MATERIALIZED VIEW otlp_metrics_histogram_mv TO otel_metrics_histogram AS
SELECT
    ResourceAttributes,
    ResourceSchemaUrl,
    scope_metrics.scope.name AS ScopeName,
    scope_metrics.scope.version AS ScopeVersion,
    llmtrace_attributes(scope_metrics.scope.attributes) AS ScopeAttributes,
    scope_metrics.scope.dropped_attributes_count AS ScopeDroppedAttrCount,
    scope_metrics.schema_url AS ScopeSchemaUrl,
    ResourceAttributes['service.name'] AS ServiceName,
    metric.name AS MetricName,
    metric.description AS MetricDescription,
    metric.unit AS MetricUnit,
    llmtrace_attributes(point.attributes) AS Attributes,
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
    arrayMap(
        exemplar -> llmtrace_attributes(tupleElement(exemplar, 'filtered_attributes')),
        point.exemplars
    ) AS `Exemplars.FilteredAttributes`,
    arrayMap(x -> fromUnixTimestamp64Nano(toInt64(x.time_unix_nano)), point.exemplars) AS `Exemplars.TimeUnix`,
    arrayMap(x -> if(x.value = 'as_int', toFloat64(x.as_int), x.as_double), point.exemplars) AS `Exemplars.Value`,
    arrayMap(x -> lower(hex(x.span_id)), point.exemplars) AS `Exemplars.SpanId`,
    arrayMap(x -> lower(hex(x.trace_id)), point.exemplars) AS `Exemplars.TraceId`,
    multiIf(
        project != '', project,
        ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'],
        'default'
    ) AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, arrayJoin(metric.histogram.data_points) AS point
    FROM (
        SELECT *, arrayJoin(scope_metrics.metrics) AS metric
        FROM (
            SELECT
                project,
                received,
                resource_metrics.schema_url AS ResourceSchemaUrl,
                llmtrace_attributes(resource_metrics.resource.attributes) AS ResourceAttributes,
                arrayJoin(resource_metrics.scope_metrics) AS scope_metrics
            FROM (
                SELECT project, received, arrayJoin(request.resource_metrics) AS resource_metrics
                FROM otlp_metrics_in
            )
        )
    )
);
