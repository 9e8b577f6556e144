CREATE TABLE ledger_passes (
    At DateTime64(3) COMMENT 'When call dedup ran',
    ScannedTo DateTime64(3) COMMENT 'Spans stored before this have been examined',
    Looked UInt64 COMMENT 'Spans examined',
    Changed UInt64 COMMENT 'Spans that count otherwise since'
)
ENGINE = MergeTree
ORDER BY At
TTL toDateTime(At) + toIntervalDay(30)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'How far the spans were examined for calls that several spans tell of, and what came of it';
