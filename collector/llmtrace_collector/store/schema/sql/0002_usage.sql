-- Usage in ten-second buckets: what dashboards, cost and detection read. Rebuildable from otel_traces.

CREATE TABLE IF NOT EXISTS usage_10s (
    Project LowCardinality(String),
    Time DateTime CODEC(Delta(4), ZSTD(1)),
    ServiceName LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    ResponseModel LowCardinality(String),
    Operation LowCardinality(String),
    UserId String,
    Experiment LowCardinality(String),
    RunId LowCardinality(String),
    PromptName LowCardinality(String),
    PromptVersion LowCardinality(String),
    Simulated Bool,
    Calls SimpleAggregateFunction(sum, UInt64),
    Errors SimpleAggregateFunction(sum, UInt64),
    UnknownUsage SimpleAggregateFunction(sum, UInt64),
    InputTokens SimpleAggregateFunction(sum, UInt64),
    OutputTokens SimpleAggregateFunction(sum, UInt64),
    CacheReadTokens SimpleAggregateFunction(sum, UInt64),
    CacheWriteTokens SimpleAggregateFunction(sum, UInt64),
    ReasoningTokens SimpleAggregateFunction(sum, UInt64),
    DurationSum SimpleAggregateFunction(sum, UInt64),
    Spans SimpleAggregateFunction(sum, UInt64),
    UsageFaults SimpleAggregateFunction(sum, UInt64),
    TtftCount SimpleAggregateFunction(sum, UInt64),
    LatencyDigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64),
    TtftDigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Time)
ORDER BY (Project, Time, Model, ServiceName, Provider, ResponseModel, Operation, UserId, Experiment, RunId, PromptName, PromptVersion, Simulated)
TTL Time + toIntervalDay(400)
SETTINGS {durable}, ttl_only_drop_parts = 1;

-- USD per token of each pair that the store has seen; Priced = 0 says: looked up, and nobody knows.
CREATE TABLE IF NOT EXISTS prices (
    Provider LowCardinality(String),
    Model LowCardinality(String),
    ResponseModel LowCardinality(String),
    Priced Bool,
    InputPrice Nullable(Float64),
    CacheReadPrice Nullable(Float64),
    CacheWritePrice Nullable(Float64),
    OutputPrice Nullable(Float64),
    Currency LowCardinality(String),
    Source String,
    Version String,
    UpdatedAt DateTime64(3)
)
ENGINE = ReplacingMergeTree(UpdatedAt)
ORDER BY (Provider, Model, ResponseModel)
SETTINGS {durable};
