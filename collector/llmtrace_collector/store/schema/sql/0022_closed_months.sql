-- A month's figures as they were when it was closed; what changes later is an adjustment beside them.
CREATE TABLE IF NOT EXISTS cost_closed (
    Month String,
    Project LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    Calls UInt64,
    UnpricedCalls UInt64,
    Cost Nullable(Float64),
    Book String,
    At DateTime64(3),
    Actor String
)
ENGINE = MergeTree
ORDER BY (Month, Project, Provider, Model)
SETTINGS {durable};
