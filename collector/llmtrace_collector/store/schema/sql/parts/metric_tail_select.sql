{# What the views of all kinds of metrics end with; `kind` is the field of the request that holds the points. #}
{% from 'parts/attributes.sql' import of_otlp with context %}
    point.flags AS Flags,
    arrayMap(
        exemplar -> {{ of_otlp("tupleElement(exemplar, 'filtered_attributes')") }},
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
    SELECT *, arrayJoin(metric.{{ kind }}.data_points) AS point
    FROM (
        SELECT *, arrayJoin(scope_metrics.metrics) AS metric
        FROM (
            SELECT
                project,
                received,
                resource_metrics.schema_url AS ResourceSchemaUrl,
                {{ of_otlp('resource_metrics.resource.attributes') }} AS ResourceAttributes,
                arrayJoin(resource_metrics.scope_metrics) AS scope_metrics
            FROM (
                SELECT project, received, arrayJoin(request.resource_metrics) AS resource_metrics
                FROM otlp_metrics_in
            )
        )
    )
)
