CREATE MATERIALIZED VIEW otlp_logs_mv TO otel_logs AS
SELECT
    fromUnixTimestamp64Nano(toInt64(if(record.time_unix_nano != 0, record.time_unix_nano, record.observed_time_unix_nano))) AS Timestamp,
    lower(hex(record.trace_id)) AS TraceId,
    lower(hex(record.span_id)) AS SpanId,
    toUInt8(bitAnd(record.flags, 255)) AS TraceFlags,
    named[1] AS SeverityText,
    toUInt8(record.severity_number) AS SeverityNumber,
    ResourceMap['service.name'] AS ServiceName,
    {{ decoding.log_body }} AS Body,
    ResourceMap AS ResourceAttributes,
    named[3] AS ScopeName,
    named[4] AS ScopeVersion,
    {{ decoding.log_map }} AS LogAttributes,
    named[2] AS EventName,
    multiIf(project != '', project, ResourceMap['llmtrace.project'] != '', ResourceMap['llmtrace.project'], 'default') AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT *, {{ decoding.log_names }} AS named FROM (
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
            {{ decoding.resource_map }} AS ResourceMap,
            arrayJoin(resource_span.scope_logs) AS scope_logs
        FROM (
            SELECT project, received, arrayJoin(request.resource_logs) AS resource_span
            FROM otlp_logs_in
        )
    )
    )
);
