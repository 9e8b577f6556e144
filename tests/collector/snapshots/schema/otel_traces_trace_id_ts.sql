CREATE TABLE otel_traces_trace_id_ts (
    TraceId String COMMENT 'Id of the trace' CODEC(ZSTD(1)),
    Start DateTime COMMENT 'When the first of some of its spans began' CODEC(Delta(4), ZSTD(1)),
    End DateTime COMMENT 'When the last of them began' CODEC(Delta(4), ZSTD(1)),
    Project LowCardinality(String) COMMENT 'Project whose trace it is'
)
ENGINE = MergeTree
PARTITION BY toMonday(Start)
ORDER BY (TraceId, Start)
TTL Start + toIntervalDay(30)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, ttl_only_drop_parts = 1, index_granularity = 512
COMMENT 'When each trace was, so that its spans are read without searching all days; rows of one trace add up, and come some seconds after its spans: trace_times has both';
