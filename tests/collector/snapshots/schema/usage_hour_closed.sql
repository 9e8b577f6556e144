CREATE TABLE usage_hour_closed (
    Project LowCardinality(String) COMMENT 'Project of the calls',
    Time DateTime COMMENT 'Begin of the hour' CODEC(Delta(4), ZSTD(1)),
    ServiceName LowCardinality(String) COMMENT 'Service that called',
    Provider LowCardinality(String) COMMENT 'Provider that was called',
    Model LowCardinality(String) COMMENT 'Model that was asked for',
    ResponseModel LowCardinality(String) COMMENT 'Model that answered',
    ServiceTier LowCardinality(String) COMMENT 'Tier by which prices differ; empty for the standard one',
    ContextClass UInt32 COMMENT 'Tokens that the input exceeds, of the bounds at which prices change',
    DayClass UInt16 DEFAULT toUInt16(roundDown(intDiv(toUInt32(toUnixTimestamp(Time)) % 86400, 60), [0, 30, 60, 240, 360, 600, 990])) COMMENT 'Minutes since midnight, UTC, of the last bound at which prices change with the time of day',
    Operation LowCardinality(String) COMMENT 'chat, text_completion, generate_content, embeddings or rerank',
    UserId String COMMENT 'User for whom was called',
    Experiment LowCardinality(String) COMMENT 'Experiment that the calls belong to',
    RunId LowCardinality(String) COMMENT 'Run of that experiment',
    PromptName LowCardinality(String) COMMENT 'Prompt that was used',
    PromptVersion LowCardinality(String) COMMENT 'Version of that prompt',
    Purpose LowCardinality(String) COMMENT 'What the calls were for: product, simulated, bench, replay, evaluation, judge or playground',
    Account LowCardinality(String) COMMENT 'Account at the provider that pays',
    StatedBy LowCardinality(String) COMMENT 'Who says what the calls cost, where that holds before a computed cost; empty for nobody',
    Estimated LowCardinality(String) COMMENT 'Which tokens are estimated from text: input, output, input+output; empty for none',
    Tags Array(LowCardinality(String)) COMMENT 'Tags, in order',
    LateAt DateTime64(3) COMMENT 'When calls were stored that came after the time for which spans are kept, or a second after 1970 for those from before an upgrade; 1970 for all others' CODEC(Delta(8), ZSTD(1)),
    Calls SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls',
    Errors SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls that failed',
    UnknownUsage SimpleAggregateFunction(sum, UInt64) COMMENT 'Calls of which no tokens are known',
    StatedCost SimpleAggregateFunction(sum, Float64) COMMENT 'USD that StatedBy says they cost',
    InputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input, cached ones among them',
    CacheReadTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were read from the cache',
    CacheWriteTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were written to the cache',
    CacheWrite1hTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens written to the cache for an hour',
    AudioInputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were audio',
    ImageInputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were images',
    VideoInputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of input that were video',
    CacheReadAudioTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of audio that were read from the cache',
    CacheReadImageTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of images that were read from the cache',
    CacheReadVideoTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of video that were read from the cache',
    OutputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output, those of reasoning among them',
    ReasoningTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were reasoning',
    AudioOutputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were audio',
    ImageOutputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were images',
    VideoOutputTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were video',
    CitationTokens SimpleAggregateFunction(sum, UInt64) COMMENT 'Tokens of output that were cited sources',
    WebSearches SimpleAggregateFunction(sum, UInt64) COMMENT 'Searches of the web that the provider ran',
    FileSearches SimpleAggregateFunction(sum, UInt64) COMMENT 'Searches of files that the provider ran',
    RerankSearches SimpleAggregateFunction(sum, UInt64) COMMENT 'Search units of rerankers',
    CodeContainers SimpleAggregateFunction(sum, UInt64) COMMENT 'Containers that the provider\'s code interpreter ran in'
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Time, 'UTC')
ORDER BY (
    Project, Time, Model, Provider, ResponseModel, ServiceTier, ContextClass, DayClass, ServiceName, Operation, UserId,
    Experiment, RunId, PromptName, PromptVersion, Purpose, Account, StatedBy, Estimated, Tags, LateAt
)
TTL Time + toIntervalDay(800)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, ttl_only_drop_parts = 1
COMMENT 'Hours of usage_hour that are over, added up from usage_10s';
