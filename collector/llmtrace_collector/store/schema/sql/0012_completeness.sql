-- Completeness: what was received, stored, rejected, sent twice and set aside, per service and minute of
-- arrival. What is stored is counted by the engine as it stores it; the rest by the collector.

CREATE TABLE IF NOT EXISTS completeness_counts (
    Project LowCardinality(String),
    ServiceName LowCardinality(String),
    Minute DateTime CODEC(Delta(4), ZSTD(1)),
    Signal LowCardinality(String),
    Received Int64,
    Stored Int64,
    Rejected Int64,
    Duplicate Int64,
    Quarantined Int64,
    Batch String
)
ENGINE = SummingMergeTree((Received, Stored, Rejected, Duplicate, Quarantined))
PARTITION BY toYYYYMM(Minute)
ORDER BY (Project, Minute, ServiceName, Signal)
TTL Minute + toIntervalDay(400)
SETTINGS {durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS completeness_otel_traces_mv TO completeness_counts AS
SELECT Project, ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS Minute, 'traces' AS Signal, toInt64(count()) AS Stored
FROM otel_traces
GROUP BY Project, ServiceName, Minute;

CREATE MATERIALIZED VIEW IF NOT EXISTS completeness_otel_logs_mv TO completeness_counts AS
SELECT Project, ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS Minute, 'logs' AS Signal, toInt64(count()) AS Stored
FROM otel_logs
GROUP BY Project, ServiceName, Minute;

CREATE MATERIALIZED VIEW IF NOT EXISTS completeness_otel_metrics_gauge_mv TO completeness_counts AS
SELECT Project, ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS Minute, 'metrics' AS Signal, toInt64(count()) AS Stored
FROM otel_metrics_gauge
GROUP BY Project, ServiceName, Minute;

CREATE MATERIALIZED VIEW IF NOT EXISTS completeness_otel_metrics_sum_mv TO completeness_counts AS
SELECT Project, ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS Minute, 'metrics' AS Signal, toInt64(count()) AS Stored
FROM otel_metrics_sum
GROUP BY Project, ServiceName, Minute;

CREATE MATERIALIZED VIEW IF NOT EXISTS completeness_otel_metrics_histogram_mv TO completeness_counts AS
SELECT Project, ServiceName, toStartOfMinute(toDateTime(ReceivedAt)) AS Minute, 'metrics' AS Signal, toInt64(count()) AS Stored
FROM otel_metrics_histogram
GROUP BY Project, ServiceName, Minute;

-- What each process of an SDK says of itself: counters since its start, and how they grew since it last said.
CREATE OR REPLACE VIEW sdk_reports AS
SELECT
    Project,
    ServiceName,
    Timestamp,
    Instance,
    Generated,
    Sent,
    Spooled,
    Dropped,
    Pending,
    Generated - lagInFrame(Generated, 1, 0) OVER instance AS NewGenerated,
    Dropped - lagInFrame(Dropped, 1, 0) OVER instance AS NewDropped
FROM (
    SELECT
        Project,
        ServiceName,
        Timestamp,
        concat(
            LogAttributes['service.instance.id'], ResourceAttributes['service.instance.id'], '/',
            LogAttributes['process.pid'], ResourceAttributes['process.pid']
        ) AS Instance,
        toInt64OrZero(LogAttributes['llmtrace.stats.generated']) AS Generated,
        toInt64OrZero(LogAttributes['llmtrace.stats.sent']) AS Sent,
        toInt64OrZero(LogAttributes['llmtrace.stats.spooled']) AS Spooled,
        toInt64OrZero(LogAttributes['llmtrace.stats.dropped']) AS Dropped,
        toInt64OrZero(LogAttributes['llmtrace.stats.pending']) AS Pending
    FROM otel_logs
    WHERE EventName = 'llmtrace.sdk.stats'
)
WINDOW instance AS (
    PARTITION BY Project, ServiceName, Instance ORDER BY Timestamp
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
);

CREATE OR REPLACE VIEW completeness AS
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
    sum(x) AS SdkDropped
FROM (
    SELECT Project, ServiceName, Minute, Signal, Received AS r, Stored AS s, Rejected AS j, Duplicate AS d,
        Quarantined AS q, 0 AS g, 0 AS x
    FROM completeness_counts
    UNION ALL
    SELECT Project, ServiceName, toStartOfMinute(toDateTime(Timestamp)) AS Minute, 'traces' AS Signal, 0, 0, 0, 0, 0,
        NewGenerated, NewDropped
    FROM sdk_reports
)
GROUP BY Project, ServiceName, Minute, Signal;
