CREATE TABLE cost_closed (
    Month String COMMENT 'The month, YYYY-MM',
    Project LowCardinality(String) COMMENT 'Project of the calls',
    Provider LowCardinality(String) COMMENT 'Provider that was called',
    Model LowCardinality(String) COMMENT 'Model that was asked for',
    Calls UInt64 COMMENT 'Calls of the month',
    UnpricedCalls UInt64 COMMENT 'Those whose cost is not known',
    Cost Nullable(Float64) COMMENT 'USD of the others',
    Book String COMMENT 'Price book that held',
    At DateTime64(3) COMMENT 'When the month was closed',
    Actor String COMMENT 'Who closed it'
)
ENGINE = MergeTree
ORDER BY (Month, Project, Provider, Model)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'A month''s figures as they were when it was closed; what changes later is an adjustment to them';
