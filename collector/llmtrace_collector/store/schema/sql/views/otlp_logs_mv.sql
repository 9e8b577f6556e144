{% from 'parts/attributes.sql' import of_otlp with context %}
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
    -- The bytes of an attachment have a table of their own.
{% if redaction.drop_content %}
    if(event = 'llmtrace.attachment' OR llmtrace_is_conversation(event), '', body) AS Body,
{% else %}
    if(event = 'llmtrace.attachment', '', body) AS Body,
{% endif %}
    ResourceAttributes,
    named[3] AS ScopeName,
    named[4] AS ScopeVersion,
    {{ of_otlp('record.attributes', 'event') }} AS LogAttributes,
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
        -- Older SDKs send the name of the event as an attribute.
        if(
            record.event_name != '',
            record.event_name,
            record.attributes.value[indexOf(record.attributes.key, 'event.name')].string_value
        ) AS event,
{% if redaction.replaces %}
        {{ redaction.function }}(
            [record.severity_text, record.event_name, scope_name, scope_version]
        ) AS named,
        llmtrace_cleaned_texts(
            [record.body], {{ redaction.function }}(llmtrace_searched_texts([record.body]))
        )[1] AS body
{% else %}
        [record.severity_text, record.event_name, scope_name, scope_version] AS named,
        llmtrace_value_texts([record.body])[1] AS body
{% endif %}
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
                {{ of_otlp('resource_logs.resource.attributes') }} AS ResourceAttributes,
                arrayJoin(resource_logs.scope_logs) AS scope_logs
            FROM (
                SELECT project, received, arrayJoin(request.resource_logs) AS resource_logs
                FROM otlp_logs_in
            )
        )
    )
);
