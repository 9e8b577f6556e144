CREATE MATERIALIZED VIEW completeness_otel_metrics_histogram_mv TO completeness_counts AS
SELECT
    Project,
    ServiceName,
    toStartOfMinute(toDateTime(ReceivedAt)) AS Minute,
    'metrics' AS Signal,
    toInt64(count()) AS Stored,
    RetentionDays,
    toDate(TimeUnix) AS Day
FROM otel_metrics_histogram
GROUP BY Project, ServiceName, Minute, RetentionDays, Day;
