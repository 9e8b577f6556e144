CREATE TABLE watch_reports (
    At DateTime64(3) DEFAULT now64(3) COMMENT 'When it came' CODEC(Delta(8), ZSTD(1)),
    EvaluationSeconds Float64 COMMENT 'Duration of the newest evaluation of the rules',
    ScanLagSeconds Float64 COMMENT 'How long the oldest call whose messages may not have been scanned had been in the store',
    Scanned UInt64 COMMENT 'Calls whose messages were scanned since watch started',
    Suspects UInt64 COMMENT 'Those of them that the store could not leave out',
    Unread UInt64 COMMENT 'Calls whose messages waited for the scan',
    GivenUp UInt64 COMMENT 'Calls whose messages could not be read since watch started'
)
ENGINE = MergeTree
ORDER BY At
TTL toDateTime(At) + toIntervalDay(7)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'What llmtrace watch says of itself every few seconds: how long it looks, and how far the scan of messages is';
