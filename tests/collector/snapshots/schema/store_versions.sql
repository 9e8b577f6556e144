CREATE TABLE store_versions (
    Number UInt32 COMMENT 'Number of the schema; an older program refuses a greater one',
    Release String COMMENT 'Release of the program that brought the store there',
    Digest String COMMENT 'SHA-256 of the description of the schema',
    State String COMMENT 'SHA-256 of what the engine then held',
    At DateTime64(6) DEFAULT now64(6) COMMENT 'When that was'
)
ENGINE = MergeTree
ORDER BY At
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Which schema the store has: the newest row holds';
