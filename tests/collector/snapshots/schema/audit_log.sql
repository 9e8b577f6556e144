CREATE TABLE audit_log (
    Project LowCardinality(String) COMMENT 'Project that it concerns; empty for all',
    At DateTime64(3) COMMENT 'When it was done',
    KeyId String COMMENT 'Key that the row came with',
    Action LowCardinality(String) COMMENT 'What was done',
    Target String COMMENT 'To what',
    Detail String COMMENT 'How, as JSON',
    Address String COMMENT 'Address that it came from',
    Id UUID COMMENT 'Id of the action; one that failed has a second row, which says why',
    Origin LowCardinality(String) DEFAULT 'collector' COMMENT 'Service in which it was done',
    Actor String DEFAULT KeyId COMMENT 'Who did it there',
    Outcome String COMMENT 'Why it failed; empty before it is done'
)
ENGINE = MergeTree
ORDER BY (At, Project)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'What administrators did; a row is written before the action';
