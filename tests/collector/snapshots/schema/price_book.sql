CREATE TABLE price_book (
    Book String COMMENT 'Book that the price is in',
    Provider LowCardinality(String) COMMENT 'Provider of the model',
    Model LowCardinality(String) COMMENT 'Model that is asked for',
    ResponseModel LowCardinality(String) COMMENT 'Model that answers',
    ServiceTier LowCardinality(String) COMMENT 'Tier of the price; empty for the standard one',
    ValidFrom DateTime COMMENT 'Holds for calls from here on',
    ValidTo DateTime COMMENT 'and before this',
    ContextFrom UInt32 COMMENT 'Holds for context classes from here on',
    ContextTo UInt32 COMMENT 'and below this',
    Priced Bool COMMENT 'false: nobody knows a price',
    InputPrice Nullable(Float64) COMMENT 'USD per token: input',
    CacheReadPrice Nullable(Float64) COMMENT 'USD per token: cache read',
    CacheWritePrice Nullable(Float64) COMMENT 'USD per token: cache write',
    CacheWrite1hPrice Nullable(Float64) COMMENT 'USD per token: cache write 1h',
    AudioInputPrice Nullable(Float64) COMMENT 'USD per token: audio input',
    ImageInputPrice Nullable(Float64) COMMENT 'USD per token: image input',
    CacheReadAudioPrice Nullable(Float64) COMMENT 'USD per token: cache read audio',
    CacheReadImagePrice Nullable(Float64) COMMENT 'USD per token: cache read image',
    OutputPrice Nullable(Float64) COMMENT 'USD per token: output',
    ReasoningPrice Nullable(Float64) COMMENT 'USD per token: reasoning',
    AudioOutputPrice Nullable(Float64) COMMENT 'USD per token: audio output',
    ImageOutputPrice Nullable(Float64) COMMENT 'USD per token: image output',
    RequestPrice Nullable(Float64) COMMENT 'USD per request',
    WebSearchPrice Nullable(Float64) COMMENT 'USD per search: web search',
    FileSearchPrice Nullable(Float64) COMMENT 'USD per search: file search',
    Currency LowCardinality(String) COMMENT 'Currency of the prices',
    Source String COMMENT 'Where the price comes from',
    UpdatedAt DateTime64(3) COMMENT 'When the row was written'
)
ENGINE = ReplacingMergeTree(UpdatedAt)
ORDER BY (Book, Provider, Model, ResponseModel, ServiceTier, ValidFrom, ContextFrom)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Prices by model, tier, context class and time. Books stay, one is in effect: the view price_now';
