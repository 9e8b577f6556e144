-- The ledger: usage by the hour in classes that prices depend on, a book of prices with validity, and their
-- join at read time. The hours keep service tier and context class, which `usage_10s` does not.

CREATE TABLE IF NOT EXISTS usage_hour (
    Project LowCardinality(String),
    Time DateTime CODEC(Delta(4), ZSTD(1)),
    ServiceName LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    ResponseModel LowCardinality(String),
    ServiceTier LowCardinality(String),
    ContextClass UInt32,
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
    ReasoningTokens SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Time)
ORDER BY (Project, Time, Model, Provider, ResponseModel, ServiceTier, ContextClass, ServiceName, Operation, UserId, Experiment, RunId, PromptName, PromptVersion, Simulated)
TTL Time + toIntervalDay(800)
SETTINGS {durable}, ttl_only_drop_parts = 1;

-- A price per token and request, for calls in [ValidFrom, ValidTo) whose context class is in
-- [ContextFrom, ContextTo). Priced = 0 says: looked up, and nobody knows. Books are kept, one is in effect.
CREATE TABLE IF NOT EXISTS price_book (
    Book String,
    Provider LowCardinality(String),
    Model LowCardinality(String),
    ResponseModel LowCardinality(String),
    ServiceTier LowCardinality(String),
    ValidFrom DateTime,
    ValidTo DateTime,
    ContextFrom UInt32,
    ContextTo UInt32,
    Priced Bool,
    InputPrice Nullable(Float64),
    CacheReadPrice Nullable(Float64),
    CacheWritePrice Nullable(Float64),
    OutputPrice Nullable(Float64),
    ReasoningPrice Nullable(Float64),
    RequestPrice Nullable(Float64),
    Currency LowCardinality(String),
    Source String,
    UpdatedAt DateTime64(3)
)
ENGINE = ReplacingMergeTree(UpdatedAt)
ORDER BY (Book, Provider, Model, ResponseModel, ServiceTier, ValidFrom, ContextFrom)
SETTINGS {durable};

-- Which book is in effect: the newest row's. Going back to an older book is one more row.
CREATE TABLE IF NOT EXISTS price_books (
    Book String,
    At DateTime64(3),
    Actor String,
    Note String
)
ENGINE = MergeTree
ORDER BY At
SETTINGS {durable};

CREATE OR REPLACE VIEW price_now AS
SELECT * FROM price_book FINAL
WHERE Book = (SELECT argMax(Book, At) FROM price_books);
