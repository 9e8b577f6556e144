CREATE TABLE delivery_log (
    Project LowCardinality(String) COMMENT 'Project of the incident',
    DeliveryId String COMMENT 'Id of the message; attempts share it',
    IncidentId String COMMENT 'Incident that it tells of',
    Event LowCardinality(String) COMMENT 'What happened to the incident',
    At DateTime64(3) COMMENT 'When it was sent',
    Url String COMMENT 'Where to',
    Attempt UInt32 COMMENT 'Number of the attempt, from 1; 0: it was given up',
    StatusCode UInt16 COMMENT 'HTTP status of the answer; 0 without one',
    Ok Bool COMMENT 'Whether it arrived',
    Error String COMMENT 'Why it did not',
    DurationMs Float64 COMMENT 'Milliseconds that it took'
)
ENGINE = ReplacingMergeTree(Ok)
ORDER BY (Project, DeliveryId, Attempt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Attempts to deliver webhooks. The view webhook_deliveries has each once';
