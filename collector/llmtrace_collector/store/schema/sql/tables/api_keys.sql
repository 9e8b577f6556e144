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
ENGINE = {{ engine('ReplacingMergeTree', 'Version') }}
ORDER BY KeyId
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'API keys, of which only the hash is stored';
