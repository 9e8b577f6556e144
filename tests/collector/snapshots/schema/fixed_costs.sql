CREATE TABLE fixed_costs (
    Id String COMMENT 'Id of the cost',
    Kind LowCardinality(String) COMMENT 'What is paid: reserved units, GPU hours, hosting of a fine-tuned model',
    Name String COMMENT 'What people call it',
    Project LowCardinality(String) COMMENT 'Project that pays; empty for all',
    Provider LowCardinality(String) COMMENT 'Provider that is paid',
    Model LowCardinality(String) COMMENT 'Model that it is for',
    Units Float64 COMMENT 'How many are paid',
    Price Float64 COMMENT 'What one costs in a Period, in the Currency',
    Currency LowCardinality(String) DEFAULT 'USD' COMMENT 'Currency of the Price',
    Period LowCardinality(String) COMMENT 'hour, month, or total for all its time',
    ValidFrom DateTime COMMENT 'Paid from here on',
    ValidTo DateTime COMMENT 'until this',
    Removed Bool COMMENT 'Whether it was taken back',
    At DateTime64(3) COMMENT 'When the row was written',
    Actor String COMMENT 'Who wrote it',
    Note String COMMENT 'What they say about it'
)
ENGINE = MergeTree
ORDER BY (Id, At)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Capacity that is paid whether used or not. The newest row of an Id holds';
