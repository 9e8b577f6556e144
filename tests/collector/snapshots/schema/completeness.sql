CREATE VIEW completeness AS
SELECT
    Project,
    ServiceName,
    Minute,
    Signal,
    sum(r) AS Received,
    sum(s) AS Stored,
    sum(j) AS Rejected,
    sum(d) AS Duplicate,
    sum(q) AS Quarantined,
    sum(g) AS SdkGenerated,
    sum(x) AS SdkDropped,
    sum(l) AS SdkLost,
    sum(f) AS UsageFaults,
    sum(o) AS UsageRepeated,
    sum(t) AS UsageToldTwice,
    sum(e) AS EndBeforeStart
FROM (
    SELECT Project, ServiceName, Minute, Signal, Received AS r, Stored AS s, Rejected AS j, Duplicate AS d,
        Quarantined AS q, 0 AS g, 0 AS x, 0 AS l, 0 AS f, 0 AS o, 0 AS t, 0 AS e
    FROM completeness_counts
    UNION ALL
    SELECT Project, ServiceName, toStartOfMinute(toDateTime(Timestamp)) AS Minute, 'traces' AS Signal, 0, 0, 0, 0, 0,
        NewGenerated - NewLogs, NewDropped - NewLogsDropped, NewLost, 0, 0, 0, 0
    FROM sdk_reports
    UNION ALL
    SELECT Project, ServiceName, toStartOfMinute(toDateTime(Timestamp)) AS Minute, 'logs' AS Signal, 0, 0, 0, 0, 0,
        NewLogs + 1, NewLogsDropped, 0, 0, 0, 0, 0
    FROM sdk_reports
    UNION ALL
    SELECT Project, ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS Minute, 'traces' AS Signal, 0, 0, 0, 0, 0,
        0, 0, 0, UsageFault != '', Uncounted = 'repeats', Uncounted = 'duplicate', EndBeforeStart
    FROM otel_traces
    WHERE UsageFault != '' OR Uncounted IN ('repeats', 'duplicate') OR EndBeforeStart
)
GROUP BY Project, ServiceName, Minute, Signal
COMMENT 'What was received, stored, refused, repeated and doubted, by service and minute of arrival';
