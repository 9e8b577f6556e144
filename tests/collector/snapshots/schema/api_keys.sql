CREATE TABLE api_keys (
    KeyId String COMMENT 'Id of the key',
    Name String COMMENT 'What people call it',
    Project LowCardinality(String) COMMENT 'Project that it is for; empty for all',
    Role LowCardinality(String) COMMENT 'What it may do',
    Hash String COMMENT 'Hash of the key, which is stored nowhere',
    RequestsPerMinute UInt32 COMMENT 'Most requests a minute; 0 for any number',
    CreatedAt DateTime64(3) COMMENT 'When it was made',
    RevokedAt Nullable(DateTime64(3)) COMMENT 'When it was revoked',
    Version UInt64 COMMENT 'The greatest of a key holds'
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY KeyId
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'API keys, of which only the hash is stored';
