CREATE TABLE completeness_counts (
    Project LowCardinality(String) COMMENT 'Project of the rows',
    ServiceName LowCardinality(String) COMMENT 'Service that sent them',
    Minute DateTime COMMENT 'Minute of arrival' CODEC(Delta(4), ZSTD(1)),
    Signal LowCardinality(String) COMMENT 'traces, logs or metrics',
    Received Int64 COMMENT 'Rows received',
    Stored Int64 COMMENT 'Rows stored',
    Rejected Int64 COMMENT 'Rows refused, which the sender was told',
    Duplicate Int64 COMMENT 'Rows that had been received before',
    Quarantined Int64 COMMENT 'Rows that the engine refused, set aside as files',
    Batch String COMMENT 'What was counted at once',
    RetentionDays UInt16 COMMENT 'Days that the stored rows are kept',
    Day Date COMMENT 'Day of the stored rows'' own times, with RetentionDays the partition that they went to; 1970 for what was counted otherwise'
)
ENGINE = SummingMergeTree((Received, Stored, Rejected, Duplicate, Quarantined))
PARTITION BY toYYYYMM(Minute)
ORDER BY (Project, Minute, ServiceName, Signal, RetentionDays, Day)
TTL Minute + toIntervalDay(400)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Rows received and stored by minute of arrival: what the view completeness is made of';
