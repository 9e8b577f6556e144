CREATE TABLE own_discounts (
    Project LowCardinality(String) COMMENT 'Project that has it; empty for all',
    Provider LowCardinality(String) COMMENT 'Provider that gives it; empty for all',
    Model LowCardinality(String) COMMENT 'Model that it is for; empty for all',
    ValidFrom DateTime COMMENT 'Day from which it holds',
    Percent Float64 COMMENT 'Percent off the list price',
    At DateTime64(3) COMMENT 'When it was set',
    Actor String COMMENT 'Who set it',
    Note String COMMENT 'What they say about it'
)
ENGINE = MergeTree
ORDER BY (Project, Provider, Model, ValidFrom, At)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Discounts as people set them, each from a day on; the newest row of a key and day holds, all stay';
