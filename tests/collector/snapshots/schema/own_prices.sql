CREATE TABLE own_prices (
    Provider LowCardinality(String) COMMENT 'Provider of the model',
    Model LowCardinality(String) COMMENT 'Model that is asked for',
    ValidFrom DateTime COMMENT 'Day from which the prices hold',
    ServiceTier LowCardinality(String) COMMENT 'Tier of the prices; empty for the standard one',
    InputPrice Float64 COMMENT 'USD per token: input',
    CacheReadPrice Nullable(Float64) COMMENT 'USD per token: cache read',
    CacheWritePrice Nullable(Float64) COMMENT 'USD per token: cache write',
    CacheWrite1hPrice Nullable(Float64) COMMENT 'USD per token: cache write 1h',
    AudioInputPrice Nullable(Float64) COMMENT 'USD per token: audio input',
    ImageInputPrice Nullable(Float64) COMMENT 'USD per token: image input',
    VideoInputPrice Nullable(Float64) COMMENT 'USD per token: video input',
    CacheReadAudioPrice Nullable(Float64) COMMENT 'USD per token: cache read audio',
    CacheReadImagePrice Nullable(Float64) COMMENT 'USD per token: cache read image',
    CacheReadVideoPrice Nullable(Float64) COMMENT 'USD per token: cache read video',
    OutputPrice Float64 COMMENT 'USD per token: output',
    ReasoningPrice Nullable(Float64) COMMENT 'USD per token: reasoning',
    AudioOutputPrice Nullable(Float64) COMMENT 'USD per token: audio output',
    ImageOutputPrice Nullable(Float64) COMMENT 'USD per token: image output',
    VideoOutputPrice Nullable(Float64) COMMENT 'USD per token: video output',
    CitationPrice Nullable(Float64) COMMENT 'USD per token: citation',
    RequestPrice Nullable(Float64) COMMENT 'USD per request',
    WebSearchPrice Nullable(Float64) COMMENT 'USD per search: web search',
    FileSearchPrice Nullable(Float64) COMMENT 'USD per search: file search',
    RerankSearchPrice Nullable(Float64) COMMENT 'USD per search: rerank search',
    CodeContainerPrice Nullable(Float64) COMMENT 'USD per container: code container',
    Currency LowCardinality(String) DEFAULT 'USD' COMMENT 'Currency of the prices',
    At DateTime64(3) COMMENT 'When they were set',
    Actor String COMMENT 'Who set them',
    Note String COMMENT 'What they say about it'
)
ENGINE = MergeTree
ORDER BY (Provider, Model, ValidFrom, At)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Prices that people set, each from a day on; the newest row of a model, tier and day holds, all stay';
