CREATE TABLE usage_stale (
    Minute DateTime COMMENT 'Begin of the minute',
    Reason LowCardinality(String) COMMENT 'Why it no longer agrees',
    MarkedAt DateTime64(3) DEFAULT now64(3) COMMENT 'When that was noted'
)
ENGINE = MergeTree
ORDER BY Minute
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Minutes of the rollups that no longer agree with the spans: they are made again and taken off the list';
