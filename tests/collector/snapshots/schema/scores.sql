CREATE TABLE scores (
    Project LowCardinality(String) COMMENT 'Project whose score it is',
    Timestamp DateTime64(9) COMMENT 'When it was given' CODEC(Delta(8), ZSTD(1)),
    TraceId String COMMENT 'Trace that it is about' CODEC(ZSTD(1)),
    SpanId String COMMENT 'Span that it is about' CODEC(ZSTD(1)),
    ResponseId String COMMENT 'Answer that it is about, by the provider''s id' CODEC(ZSTD(1)),
    Name LowCardinality(String) COMMENT 'What is judged',
    Value Nullable(Float64) COMMENT 'The score, in the unit of who gave it',
    Label LowCardinality(String) COMMENT 'The score in a word',
    Explanation String COMMENT 'Why, in words' CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) COMMENT 'Service that gave it'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Timestamp)
ORDER BY (Project, Name, Timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Scores: the evaluation results among the log records';
