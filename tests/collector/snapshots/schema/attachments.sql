CREATE TABLE attachments (
    Project LowCardinality(String) COMMENT 'Project whose data this is: that of the key, else of the resource',
    Timestamp DateTime64(9) COMMENT 'When the span ended in whose messages it is' CODEC(Delta(8), ZSTD(1)),
    TraceId String COMMENT 'Trace in which it is' CODEC(ZSTD(1)),
    SpanId String COMMENT 'The first span of the trace that has it' CODEC(ZSTD(1)),
    Sha256 FixedString(64) COMMENT 'Digest of the bytes, hexadecimal, as messages tell it',
    Size UInt64 COMMENT 'Bytes',
    Content String COMMENT 'The bytes: untrusted, read by base64Encode' CODEC(LZ4),
    ServiceName LowCardinality(String) COMMENT 'Service that sent it',
    RetentionDays UInt16 DEFAULT 30 COMMENT 'Days that the row is kept'
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(Timestamp))
ORDER BY (Project, TraceId, Sha256)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, ttl_only_drop_parts = 1
COMMENT 'Images and audio of messages, where their sender sends the bytes (attachment_bytes of the SDK)';
