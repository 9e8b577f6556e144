CREATE VIEW sdk_reports AS
SELECT
    Project,
    ServiceName,
    Timestamp,
    Instance,
    Host,
    ProcessId,
    Generated,
    Sent,
    Spooled,
    Dropped,
    Pending,
    if(Killed, Pending, 0) AS Lost,
    Generated - lagInFrame(Generated, 1, 0) OVER instance AS NewGenerated,
    Dropped - lagInFrame(Dropped, 1, 0) OVER instance AS NewDropped,
    Lost - lagInFrame(Lost, 1, 0) OVER instance AS NewLost,
    Logs,
    greatest(Logs - max(Logs) OVER before, 0) AS NewLogs,
    greatest(LogsDropped - max(LogsDropped) OVER before, 0) AS NewLogsDropped,
    Ended,
    Killed,
    Relayed
FROM (
    SELECT
        Project,
        ServiceName,
        Timestamp,
        concat(
            LogAttributes['service.instance.id'], ResourceAttributes['service.instance.id'], '/',
            LogAttributes['process.pid'], ResourceAttributes['process.pid']
        ) AS Instance,
        LogAttributes['host.name'] AS Host,
        LogAttributes['process.pid'] AS ProcessId,
        toInt64OrZero(LogAttributes['llmtrace.stats.generated']) AS Generated,
        toInt64OrZero(LogAttributes['llmtrace.stats.sent']) AS Sent,
        toInt64OrZero(LogAttributes['llmtrace.stats.spooled']) AS Spooled,
        toInt64OrZero(LogAttributes['llmtrace.stats.dropped']) AS Dropped,
        toInt64OrZero(LogAttributes['llmtrace.stats.pending']) AS Pending,
        toInt64OrZero(LogAttributes['llmtrace.stats.logs']) AS Logs,
        toInt64OrZero(LogAttributes['llmtrace.stats.logs_dropped']) AS LogsDropped,
        LogAttributes['llmtrace.stats.ended'] = 'true' AS Ended,
        LogAttributes['llmtrace.stats.killed'] = 'true' AS Killed,
        mapContains(LogAttributes, 'llmtrace.stats.killed') AS Relayed
    FROM otel_logs
    WHERE EventName = 'llmtrace.sdk.stats'
)
WINDOW instance AS (
    PARTITION BY Project, ServiceName, Instance ORDER BY Timestamp
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
),
before AS (
    PARTITION BY Project, ServiceName, Instance ORDER BY Timestamp
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
)
COMMENT 'What each process of an SDK says of itself: counters since its start, and how they grew since it last said';
