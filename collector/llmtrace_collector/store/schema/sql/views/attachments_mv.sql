{% from 'parts/attributes.sql' import of_otlp with context %}
CREATE MATERIALIZED VIEW attachments_mv TO attachments AS
SELECT
    multiIf(
        project != '', project,
        ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'],
        'default'
    ) AS Project,
    fromUnixTimestamp64Nano(toInt64(record.time_unix_nano)) AS Timestamp,
    lower(hex(record.trace_id)) AS TraceId,
    lower(hex(record.span_id)) AS SpanId,
    -- Of the bytes themselves: what the sender says of them is not asked.
    lower(hex(SHA256(content))) AS Sha256,
    length(content) AS Size,
    content AS Content,
    ResourceAttributes['service.name'] AS ServiceName
FROM (
    SELECT *, tupleElement(record.body, 'bytes_value') AS content
    FROM (
        SELECT
            project,
            ResourceAttributes,
            arrayJoin(
                arrayFilter(
                    attachment -> attachment.event_name = 'llmtrace.attachment'
                        AND tupleElement(attachment.body, 'value') = 'bytes_value'
{% if redaction.on %}
                        -- In bytes no pattern can be searched for.
                        AND 0
{% endif %}
                    , scope_logs.log_records
                )
            ) AS record
        FROM (
            SELECT
                project,
                {{ of_otlp('resource_logs.resource.attributes') }} AS ResourceAttributes,
                arrayJoin(resource_logs.scope_logs) AS scope_logs
            FROM (
                SELECT project, arrayJoin(request.resource_logs) AS resource_logs
                FROM otlp_logs_in
            )
        )
    )
);
