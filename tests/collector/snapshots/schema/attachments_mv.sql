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
                    , scope_logs.log_records
                )
            ) AS record
        FROM (
            SELECT
                project,
                llmtrace_attributes(resource_logs.resource.attributes) AS ResourceAttributes,
                arrayJoin(resource_logs.scope_logs) AS scope_logs
            FROM (
                SELECT project, arrayJoin(request.resource_logs) AS resource_logs
                FROM otlp_logs_in
            )
        )
    )
);
