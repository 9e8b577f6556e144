CREATE MATERIALIZED VIEW otlp_logs_mv TO otel_logs AS
SELECT
    fromUnixTimestamp64Nano(toInt64(if(record.time_unix_nano != 0, record.time_unix_nano, record.observed_time_unix_nano))) AS Timestamp,
    lower(hex(record.trace_id)) AS TraceId,
    lower(hex(record.span_id)) AS SpanId,
    toUInt8(bitAnd(record.flags, 255)) AS TraceFlags,
    named[1] AS SeverityText,
    toUInt8(record.severity_number) AS SeverityNumber,
    ResourceMap['service.name'] AS ServiceName,
    arrayMap(v -> multiIf(v.value = 'string_value', v.string_value, v.value = 'int_value', toString(v.int_value), v.value = 'double_value', replaceRegexpOne(toString(v.double_value), 'e([0-9])', 'e+\\1'), v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'bytes_value', base64Encode(v.bytes_value), v.value = 'array_value', concat('[', arrayStringConcat(arrayMap(x -> multiIf(x.value = 'string_value', toJSONString(x.string_value), x.value = 'int_value', toString(x.int_value), x.value = 'double_value', if(isFinite(x.double_value), replaceRegexpOne(toString(x.double_value), 'e([0-9])', 'e+\\1'), concat('"', toString(x.double_value), '"')), x.value = 'bool_value', if(x.bool_value, 'true', 'false'), x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null'), v.array_value.values), ','), ']'), ''), [record.body])[1] AS Body,
    ResourceMap AS ResourceAttributes,
    named[3] AS ScopeName,
    named[4] AS ScopeVersion,
    arrayMap(e -> mapFromArrays(arrayFilter((k, n) -> n = 1, arrayReverse(e.attributes.key), arrayEnumerateUniq(arrayReverse(e.attributes.key))), arrayFilter((v, n) -> n = 1, arrayReverse(arrayMap(v -> multiIf(v.value = 'string_value', v.string_value, v.value = 'int_value', toString(v.int_value), v.value = 'double_value', replaceRegexpOne(toString(v.double_value), 'e([0-9])', 'e+\\1'), v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'bytes_value', base64Encode(v.bytes_value), v.value = 'array_value', concat('[', arrayStringConcat(arrayMap(x -> multiIf(x.value = 'string_value', toJSONString(x.string_value), x.value = 'int_value', toString(x.int_value), x.value = 'double_value', if(isFinite(x.double_value), replaceRegexpOne(toString(x.double_value), 'e([0-9])', 'e+\\1'), concat('"', toString(x.double_value), '"')), x.value = 'bool_value', if(x.bool_value, 'true', 'false'), x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null'), v.array_value.values), ','), ']'), ''), e.attributes.value)), arrayEnumerateUniq(arrayReverse(e.attributes.key)))), [record])[1] AS LogAttributes,
    named[2] AS EventName,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, [record.severity_text, record.event_name, scope_name, scope_version] AS named FROM (
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
            mapFromArrays(arrayFilter((k, n) -> n = 1, arrayReverse(resource_span.resource.attributes.key), arrayEnumerateUniq(arrayReverse(resource_span.resource.attributes.key))), arrayFilter((v, n) -> n = 1, arrayReverse(arrayMap(v -> multiIf(v.value = 'string_value', v.string_value, v.value = 'int_value', toString(v.int_value), v.value = 'double_value', replaceRegexpOne(toString(v.double_value), 'e([0-9])', 'e+\\1'), v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'bytes_value', base64Encode(v.bytes_value), v.value = 'array_value', concat('[', arrayStringConcat(arrayMap(x -> multiIf(x.value = 'string_value', toJSONString(x.string_value), x.value = 'int_value', toString(x.int_value), x.value = 'double_value', if(isFinite(x.double_value), replaceRegexpOne(toString(x.double_value), 'e([0-9])', 'e+\\1'), concat('"', toString(x.double_value), '"')), x.value = 'bool_value', if(x.bool_value, 'true', 'false'), x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null'), v.array_value.values), ','), ']'), ''), resource_span.resource.attributes.value)), arrayEnumerateUniq(arrayReverse(resource_span.resource.attributes.key)))) AS ResourceMap,
            arrayJoin(resource_span.scope_logs) AS scope_logs
        FROM (
            SELECT project, received, arrayJoin(request.resource_logs) AS resource_span
            FROM otlp_logs_in
        )
    )
    )
);
