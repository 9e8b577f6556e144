CREATE MATERIALIZED VIEW completeness_otel_traces_mv TO completeness_counts AS
SELECT
    Project,
    ServiceName,
    toStartOfMinute(toDateTime(ReceivedAt)) AS Minute,
    'traces' AS Signal,
    toInt64(count()) AS Stored,
    RetentionDays,
    toDate(Timestamp) AS Day
FROM otel_traces
GROUP BY Project, ServiceName, Minute, RetentionDays, Day;
