CREATE MATERIALIZED VIEW otlp_metrics_histogram_mv TO otel_metrics_histogram AS
SELECT
    ResourceMap AS ResourceAttributes,
    ResourceSchemaUrl,
    scope_metrics.scope.name AS ScopeName,
    scope_metrics.scope.version AS ScopeVersion,
    arrayMap(e -> mapFromArrays(arrayFilter((k, n) -> n = 1, arrayReverse(e.attributes.key), arrayEnumerateUniq(arrayReverse(e.attributes.key))), arrayFilter((v, n) -> n = 1, arrayReverse(arrayMap(v -> multiIf(v.value = 'string_value', v.string_value, v.value = 'int_value', toString(v.int_value), v.value = 'double_value', replaceRegexpOne(toString(v.double_value), 'e([0-9])', 'e+\\1'), v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'bytes_value', base64Encode(v.bytes_value), v.value = 'array_value', concat('[', arrayStringConcat(arrayMap(x -> multiIf(x.value = 'string_value', toJSONString(x.string_value), x.value = 'int_value', toString(x.int_value), x.value = 'double_value', if(isFinite(x.double_value), replaceRegexpOne(toString(x.double_value), 'e([0-9])', 'e+\\1'), concat('"', toString(x.double_value), '"')), x.value = 'bool_value', if(x.bool_value, 'true', 'false'), x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null'), v.array_value.values), ','), ']'), ''), e.attributes.value)), arrayEnumerateUniq(arrayReverse(e.attributes.key)))), [scope_metrics.scope])[1] AS ScopeAttributes,
    scope_metrics.scope.dropped_attributes_count AS ScopeDroppedAttrCount,
    scope_metrics.schema_url AS ScopeSchemaUrl,
    ResourceMap['service.name'] AS ServiceName,
    metric.name AS MetricName,
    metric.description AS MetricDescription,
    metric.unit AS MetricUnit,
    arrayMap(e -> mapFromArrays(arrayFilter((k, n) -> n = 1, arrayReverse(e.attributes.key), arrayEnumerateUniq(arrayReverse(e.attributes.key))), arrayFilter((v, n) -> n = 1, arrayReverse(arrayMap(v -> multiIf(v.value = 'string_value', v.string_value, v.value = 'int_value', toString(v.int_value), v.value = 'double_value', replaceRegexpOne(toString(v.double_value), 'e([0-9])', 'e+\\1'), v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'bytes_value', base64Encode(v.bytes_value), v.value = 'array_value', concat('[', arrayStringConcat(arrayMap(x -> multiIf(x.value = 'string_value', toJSONString(x.string_value), x.value = 'int_value', toString(x.int_value), x.value = 'double_value', if(isFinite(x.double_value), replaceRegexpOne(toString(x.double_value), 'e([0-9])', 'e+\\1'), concat('"', toString(x.double_value), '"')), x.value = 'bool_value', if(x.bool_value, 'true', 'false'), x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null'), v.array_value.values), ','), ']'), ''), e.attributes.value)), arrayEnumerateUniq(arrayReverse(e.attributes.key)))), [point])[1] AS Attributes,
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
        e -> mapFromArrays(arrayFilter((k, n) -> n = 1, arrayReverse(e.attributes.key), arrayEnumerateUniq(arrayReverse(e.attributes.key))), arrayFilter((v, n) -> n = 1, arrayReverse(arrayMap(v -> multiIf(v.value = 'string_value', v.string_value, v.value = 'int_value', toString(v.int_value), v.value = 'double_value', replaceRegexpOne(toString(v.double_value), 'e([0-9])', 'e+\\1'), v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'bytes_value', base64Encode(v.bytes_value), v.value = 'array_value', concat('[', arrayStringConcat(arrayMap(x -> multiIf(x.value = 'string_value', toJSONString(x.string_value), x.value = 'int_value', toString(x.int_value), x.value = 'double_value', if(isFinite(x.double_value), replaceRegexpOne(toString(x.double_value), 'e([0-9])', 'e+\\1'), concat('"', toString(x.double_value), '"')), x.value = 'bool_value', if(x.bool_value, 'true', 'false'), x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null'), v.array_value.values), ','), ']'), ''), e.attributes.value)), arrayEnumerateUniq(arrayReverse(e.attributes.key)))),
        arrayMap(
            x -> CAST(tuple(x.filtered_attributes) AS Tuple(attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    )))))))),
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
    SELECT *, arrayJoin(metric.histogram.data_points) AS point
    FROM (
        SELECT *, arrayJoin(scope_metrics.metrics) AS metric
        FROM (
            SELECT
                project,
                received,
                resource_span.schema_url AS ResourceSchemaUrl,
                mapFromArrays(arrayFilter((k, n) -> n = 1, arrayReverse(resource_span.resource.attributes.key), arrayEnumerateUniq(arrayReverse(resource_span.resource.attributes.key))), arrayFilter((v, n) -> n = 1, arrayReverse(arrayMap(v -> multiIf(v.value = 'string_value', v.string_value, v.value = 'int_value', toString(v.int_value), v.value = 'double_value', replaceRegexpOne(toString(v.double_value), 'e([0-9])', 'e+\\1'), v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'bytes_value', base64Encode(v.bytes_value), v.value = 'array_value', concat('[', arrayStringConcat(arrayMap(x -> multiIf(x.value = 'string_value', toJSONString(x.string_value), x.value = 'int_value', toString(x.int_value), x.value = 'double_value', if(isFinite(x.double_value), replaceRegexpOne(toString(x.double_value), 'e([0-9])', 'e+\\1'), concat('"', toString(x.double_value), '"')), x.value = 'bool_value', if(x.bool_value, 'true', 'false'), x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null'), v.array_value.values), ','), ']'), ''), resource_span.resource.attributes.value)), arrayEnumerateUniq(arrayReverse(resource_span.resource.attributes.key)))) AS ResourceMap,
                arrayJoin(resource_span.scope_metrics) AS scope_metrics
            FROM (
                SELECT project, received, arrayJoin(request.resource_metrics) AS resource_span
                FROM otlp_metrics_in
            )
        )
    )
);
