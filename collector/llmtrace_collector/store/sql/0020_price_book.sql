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

-- ContextClass is the greatest of these bounds that the call's input exceeds: prices by context length change
-- at one of them. A bound that is not here falls into the class below it.
CREATE MATERIALIZED VIEW IF NOT EXISTS usage_hour_mv TO usage_hour AS
SELECT
    Project,
    toStartOfHour(toDateTime(Timestamp, 'UTC')) AS Time,
    ServiceName,
    Provider,
    Model,
    ResponseModel,
    transform(lower(multiIf(
        SpanAttributes['openai.response.service_tier'] != '', SpanAttributes['openai.response.service_tier'],
        SpanAttributes['gen_ai.openai.response.service_tier'] != '', SpanAttributes['gen_ai.openai.response.service_tier'],
        SpanAttributes['anthropic.response.service_tier'] != '', SpanAttributes['anthropic.response.service_tier'],
        SpanAttributes['openai.request.service_tier'] != '', SpanAttributes['openai.request.service_tier'],
        SpanAttributes['gen_ai.openai.request.service_tier'] != '', SpanAttributes['gen_ai.openai.request.service_tier'],
        ''
    )), ['auto', 'standard', 'on_demand'], ['', '', '']) AS ServiceTier,
    toUInt32(arrayMax(arrayFilter(bound -> bound < greatest(ifNull(span.InputTokens, 0), 1), [0, 32000, 100000, 128000, 199999, 200000, 256000, 272000, 512000, 524288]))) AS ContextClass,
    Operation,
    UserId,
    Experiment,
    RunId,
    PromptName,
    PromptVersion,
    Simulated,
    count() AS Calls,
    countIf(StatusCode = 'Error') AS Errors,
    countIf(span.InputTokens IS NULL AND span.OutputTokens IS NULL) AS UnknownUsage,
    toUInt64(sum(ifNull(span.InputTokens, 0))) AS InputTokens,
    toUInt64(sum(ifNull(span.OutputTokens, 0))) AS OutputTokens,
    sum(span.CacheReadTokens) AS CacheReadTokens,
    sum(span.CacheWriteTokens) AS CacheWriteTokens,
    sum(span.ReasoningTokens) AS ReasoningTokens
FROM otel_traces AS span
WHERE Counted
GROUP BY Project, Time, ServiceName, Provider, Model, ResponseModel, ServiceTier, ContextClass, Operation, UserId,
    Experiment, RunId, PromptName, PromptVersion, Simulated;

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

CREATE OR REPLACE VIEW cost_hour AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    if(Priced, greatest(toFloat64(usage.InputTokens) - usage.CacheReadTokens - usage.CacheWriteTokens, 0) * ifNull(price.InputPrice, 0), NULL) AS InputCost,
    if(Priced, usage.CacheReadTokens * coalesce(price.CacheReadPrice, price.InputPrice, 0), NULL) AS CacheReadCost,
    if(Priced, usage.CacheWriteTokens * coalesce(price.CacheWritePrice, price.InputPrice, 0), NULL) AS CacheWriteCost,
    if(Priced, greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens, 0) * ifNull(price.OutputPrice, 0), NULL) AS OutputCost,
    if(Priced, usage.ReasoningTokens * coalesce(price.ReasoningPrice, price.OutputPrice, 0), NULL) AS ReasoningCost,
    if(Priced, (usage.Calls - usage.UnknownUsage) * ifNull(price.RequestPrice, 0), NULL) AS RequestCost,
    InputCost + CacheReadCost + CacheWriteCost + OutputCost + ReasoningCost + RequestCost AS Cost,
    if(Priced, usage.CacheReadTokens * (ifNull(price.InputPrice, 0) - coalesce(price.CacheReadPrice, price.InputPrice, 0)), NULL) AS CacheSavings
FROM usage_hour AS usage
LEFT JOIN price_now AS price
    ON usage.Provider = price.Provider AND usage.Model = price.Model AND usage.ResponseModel = price.ResponseModel
    AND usage.ServiceTier = price.ServiceTier
    AND usage.Time >= price.ValidFrom AND usage.Time < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo;

-- One row per counted call with what it cost, why, and at which prices. Cost is NULL where the price or the
-- token counts are not known.
CREATE OR REPLACE VIEW call_cost AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    price.InputPrice AS InputPrice,
    price.CacheReadPrice AS CacheReadPrice,
    price.CacheWritePrice AS CacheWritePrice,
    price.OutputPrice AS OutputPrice,
    if(Priced AND UnknownUsage = 0, greatest(toFloat64(usage.InputTokens) - usage.CacheReadTokens - usage.CacheWriteTokens, 0) * ifNull(price.InputPrice, 0), NULL) AS InputCost,
    if(Priced AND UnknownUsage = 0, usage.CacheReadTokens * coalesce(price.CacheReadPrice, price.InputPrice, 0), NULL) AS CacheReadCost,
    if(Priced AND UnknownUsage = 0, usage.CacheWriteTokens * coalesce(price.CacheWritePrice, price.InputPrice, 0), NULL) AS CacheWriteCost,
    if(Priced AND UnknownUsage = 0, greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens, 0) * ifNull(price.OutputPrice, 0), NULL) AS OutputCost,
    if(Priced AND UnknownUsage = 0, usage.ReasoningTokens * coalesce(price.ReasoningPrice, price.OutputPrice, 0), NULL) AS ReasoningCost,
    if(Priced AND UnknownUsage = 0, ifNull(price.RequestPrice, 0), NULL) AS RequestCost,
    InputCost + CacheReadCost + CacheWriteCost + OutputCost + ReasoningCost + RequestCost AS Cost,
    if(Priced AND UnknownUsage = 0, usage.CacheReadTokens * (ifNull(price.InputPrice, 0) - coalesce(price.CacheReadPrice, price.InputPrice, 0)), NULL) AS CacheSavings
FROM (
    SELECT
        Project,
        Timestamp,
        toDateTime(Timestamp, 'UTC') AS Time,
        TraceId,
        SpanId,
        ServiceName,
        Provider,
        Model,
        ResponseModel,
        transform(lower(multiIf(
            SpanAttributes['openai.response.service_tier'] != '', SpanAttributes['openai.response.service_tier'],
            SpanAttributes['gen_ai.openai.response.service_tier'] != '', SpanAttributes['gen_ai.openai.response.service_tier'],
            SpanAttributes['anthropic.response.service_tier'] != '', SpanAttributes['anthropic.response.service_tier'],
            SpanAttributes['openai.request.service_tier'] != '', SpanAttributes['openai.request.service_tier'],
            SpanAttributes['gen_ai.openai.request.service_tier'] != '', SpanAttributes['gen_ai.openai.request.service_tier'],
            ''
        )), ['auto', 'standard', 'on_demand'], ['', '', '']) AS ServiceTier,
        toUInt32(arrayMax(arrayFilter(bound -> bound < greatest(ifNull(span.InputTokens, 0), 1), [0, 32000, 100000, 128000, 199999, 200000, 256000, 272000, 512000, 524288]))) AS ContextClass,
        Operation,
        UserId,
        SessionId,
        Tags,
        Experiment,
        RunId,
        PromptName,
        PromptVersion,
        Simulated,
        SpanAttributes['llmtrace.stream.abandoned'] = 'true' AS Abandoned,
        1 AS Calls,
        StatusCode = 'Error' AS Errors,
        span.InputTokens IS NULL AND span.OutputTokens IS NULL AS UnknownUsage,
        ifNull(span.InputTokens, 0) AS InputTokens,
        ifNull(span.OutputTokens, 0) AS OutputTokens,
        CacheReadTokens,
        CacheWriteTokens,
        ReasoningTokens,
        if(InputMessages = '', 0, cityHash64(Model, InputMessages, SystemInstructions, ToolDefinitions)) AS PromptHash
    FROM otel_traces AS span
    WHERE Counted
) AS usage
LEFT JOIN price_now AS price
    ON usage.Provider = price.Provider AND usage.Model = price.Model AND usage.ResponseModel = price.ResponseModel
    AND usage.ServiceTier = price.ServiceTier
    AND usage.Time >= price.ValidFrom AND usage.Time < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo;
