CREATE MATERIALIZED VIEW completeness_otel_metrics_sum_mv TO completeness_counts AS
SELECT
    Project,
    ServiceName,
    toStartOfMinute(toDateTime(ReceivedAt)) AS Minute,
    'metrics' AS Signal,
    toInt64(count()) AS Stored,
    RetentionDays,
    toDate(TimeUnix) AS Day
FROM otel_metrics_sum
GROUP BY Project, ServiceName, Minute, RetentionDays, Day;
