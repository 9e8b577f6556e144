CREATE TABLE usage_10s (
    Project LowCardinality(String) COMMENT 'Project of the calls',
    Time DateTime COMMENT 'Begin of ten seconds' CODEC(Delta(4), ZSTD(1)),
    ServiceName LowCardinality(String) COMMENT 'Service that called',
    Provider LowCardinality(String) COMMENT 'Provider that was called',
    Model LowCardinality(String) COMMENT 'Model that was asked for',
    ResponseModel LowCardinality(String) COMMENT 'Model that answered',
    ServiceTier LowCardinality(String) COMMENT 'Tier by which prices differ; empty for the standard one',
    ContextClass UInt32 COMMENT 'Tokens that the input exceeds, of the bounds at which prices change',
    Operation LowCardinality(String) COMMENT 'chat, text_completion, generate_content or embeddings',
    UserId String COMMENT 'User for whom was called',
    Experiment LowCardinality(String) COMMENT 'Experiment that the calls belong to',
    RunId LowCardinality(String) COMMENT 'Run of that experiment',
    PromptName LowCardinality(String) COMMENT 'Prompt that was used',
    PromptVersion LowCardinality(String) COMMENT 'Version of that prompt',
    Purpose LowCardinality(String) COMMENT 'What the calls were for: product, simulated, bench, replay, evaluation, judge or playground',
    Account LowCardinality(String) COMMENT 'Account at the provider that pays',
    Tags Array(LowCardinality(String)) COMMENT 'Tags, in order',
    LateAt DateTime64(3) COMMENT 'When calls were stored that came after the time for which spans are kept, or a second after 1970 for those from before an upgrade; 1970 for all others' CODEC(Delta(8), ZSTD(1)),
    Calls SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls',
    Errors SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls that failed',
    UnknownUsage SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls of which no tokens are known',
    InputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input, cached ones among them',
    CacheReadTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were read from the cache',
    CacheWriteTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were written to the cache',
    CacheWrite1hTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens written to the cache for an hour',
    AudioInputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were audio',
    ImageInputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were images',
    CacheReadAudioTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of audio that were read from the cache',
    CacheReadImageTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of images that were read from the cache',
    OutputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output, those of reasoning among them',
    ReasoningTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were reasoning',
    AudioOutputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were audio',
    ImageOutputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were images',
    WebSearches SimpleAggregateFunction(sum, UInt64) COMMENT 'Searches of the web that the provider ran',
    FileSearches SimpleAggregateFunction(sum, UInt64) COMMENT 'Searches of files that the provider ran',
    DurationSum SimpleAggregateFunction(sum, UInt64) COMMENT 'Nanoseconds of all calls together',
    Spans SimpleAggregateFunction(sum, UInt64) COMMENT 'Spans, which are fewer than calls where they were sampled',
    UsageFaults SimpleAggregateFunction(sum, UInt64) COMMENT 'Spans whose token counts contradict each other',
    TtftCount SimpleAggregateFunction(sum, UInt64) COMMENT 'Spans that say when the first token came',
    LatencyDigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) COMMENT 'Seconds of each span: median, 95th and 99th percentile',
    TtftDigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) COMMENT 'Seconds to the first token of each span: median, 95th and 99th percentile',
    StoredAt SimpleAggregateFunction(max, DateTime64(3)) COMMENT 'When the newest of it was stored' CODEC(Delta(8), ZSTD(1)),
    INDEX idx_stored_at StoredAt TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Time, 'UTC')
ORDER BY (
    Project, Time, Model, ServiceName, Provider, ResponseModel, Operation, UserId, Experiment, RunId, PromptName,
    PromptVersion, Purpose, ServiceTier, ContextClass, Account, Tags, LateAt
)
TTL greatest(Time + toIntervalDay(400), toDateTime(StoredAt) + toIntervalDay(7))
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, ttl_only_drop_parts = 1
COMMENT 'Usage of models in buckets of ten seconds: what dashboards, cost and detection read; made from the spans';
