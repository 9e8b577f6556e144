CREATE TABLE incident_history (
    Project LowCardinality(String) COMMENT 'Project of the incident',
    IncidentId String COMMENT 'Id of the incident',
    At DateTime64(3) COMMENT 'When it was done',
    Action LowCardinality(String) COMMENT 'What was done',
    Actor String COMMENT 'Who did it',
    Note String COMMENT 'What they say about it'
)
ENGINE = MergeTree
ORDER BY (Project, IncidentId, At)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'What happened to each incident, line by line';
