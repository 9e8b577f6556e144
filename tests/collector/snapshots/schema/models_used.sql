CREATE TABLE models_used (
    Project LowCardinality(String) COMMENT 'Project of the calls',
    Provider LowCardinality(String) COMMENT 'Provider that was called',
    Model LowCardinality(String) COMMENT 'Model that was asked for',
    ResponseModel LowCardinality(String) COMMENT 'Model that answered'
)
ENGINE = ReplacingMergeTree
ORDER BY (Project, Provider, Model, ResponseModel)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Models that each project has called, whose prices it may read; noted by the pass that prices them';
