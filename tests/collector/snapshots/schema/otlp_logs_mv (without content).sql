CREATE MATERIALIZED VIEW otlp_logs_mv TO otel_logs AS
SELECT
    fromUnixTimestamp64Nano(
        toInt64(if(record.time_unix_nano != 0, record.time_unix_nano, record.observed_time_unix_nano))
    ) AS Timestamp,
    lower(hex(record.trace_id)) AS TraceId,
    lower(hex(record.span_id)) AS SpanId,
    toUInt8(bitAnd(record.flags, 255)) AS TraceFlags,
    named[1] AS SeverityText,
    toUInt8(record.severity_number) AS SeverityNumber,
    ResourceAttributes['service.name'] AS ServiceName,
    if(event = 'llmtrace.attachment' OR llmtrace_is_conversation(event), '', body) AS Body,
    ResourceAttributes,
    named[3] AS ScopeName,
    named[4] AS ScopeVersion,
    llmtrace_event_without_content(llmtrace_attributes(record.attributes), event) AS LogAttributes,
    named[2] AS EventName,
    multiIf(
        project != '', project,
        ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'],
        'default'
    ) AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt
FROM (
    SELECT
        *,
        if(
            record.event_name != '',
            record.event_name,
            record.attributes.value[indexOf(record.attributes.key, 'event.name')].string_value
        ) AS event,
        [record.severity_text, record.event_name, scope_name, scope_version] AS named,
        llmtrace_value_texts([record.body])[1] AS body
    FROM (
        SELECT
            project,
            received,
            ResourceAttributes,
            scope_logs.scope.name AS scope_name,
            scope_logs.scope.version AS scope_version,
            arrayJoin(scope_logs.log_records) AS record
        FROM (
            SELECT
                project,
                received,
                llmtrace_without_content(llmtrace_attributes(resource_logs.resource.attributes)) AS ResourceAttributes,
                arrayJoin(resource_logs.scope_logs) AS scope_logs
            FROM (
                SELECT project, received, arrayJoin(request.resource_logs) AS resource_logs
                FROM otlp_logs_in
            )
        )
    )
);
