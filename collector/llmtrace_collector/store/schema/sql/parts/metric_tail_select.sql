{# What the views of all kinds of metrics end with; `kind` is the field of the request that holds the points. #}
    point.flags AS Flags,
    arrayMap(
        e -> {{ decoding.nested_map }},
        arrayMap(
            x -> CAST(tuple(x.filtered_attributes) AS Tuple(attributes {% include 'parts/key_values.sql' %})),
            point.exemplars
        )
    ) AS `Exemplars.FilteredAttributes`,
    arrayMap(x -> fromUnixTimestamp64Nano(toInt64(x.time_unix_nano)), point.exemplars) AS `Exemplars.TimeUnix`,
    arrayMap(x -> if(x.value = 'as_int', toFloat64(x.as_int), x.as_double), point.exemplars) AS `Exemplars.Value`,
    arrayMap(x -> lower(hex(x.span_id)), point.exemplars) AS `Exemplars.SpanId`,
    arrayMap(x -> lower(hex(x.trace_id)), point.exemplars) AS `Exemplars.TraceId`,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, arrayJoin(metric.{{ kind }}.data_points) AS point
    FROM (
        SELECT *, arrayJoin(scope_metrics.metrics) AS metric
        FROM (
            SELECT
                project,
                received,
                resource_span.schema_url AS ResourceSchemaUrl,
                {{ decoding.resource_map }} AS ResourceMap,
                arrayJoin(resource_span.scope_metrics) AS scope_metrics
            FROM (
                SELECT project, received, arrayJoin(request.resource_metrics) AS resource_span
                FROM otlp_metrics_in
            )
        )
    )
)
