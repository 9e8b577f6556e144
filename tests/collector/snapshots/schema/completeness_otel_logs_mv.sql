CREATE MATERIALIZED VIEW completeness_otel_logs_mv TO completeness_counts AS
SELECT
    Project,
    ServiceName,
    toStartOfMinute(toDateTime(ReceivedAt)) AS Minute,
    'logs' AS Signal,
    toInt64(count()) AS Stored,
    RetentionDays,
    toDate(Timestamp) AS Day
FROM otel_logs
GROUP BY Project, ServiceName, Minute, RetentionDays, Day;
