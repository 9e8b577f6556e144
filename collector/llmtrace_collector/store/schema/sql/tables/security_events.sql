CREATE TABLE security_events (
    Timestamp DateTime64(3) COMMENT 'When it began',
    Kind LowCardinality(String) COMMENT 'key_refused, key_used, key_new_address, read_denied, cross_site or body_too_large',
    KeyId String COMMENT 'Key of the request; empty when it had none that is known',
    Address String COMMENT 'Address that it came from; of IPv6 the network of 64 bits',
    Project LowCardinality(String) COMMENT 'Project of the key; empty for all',
    Detail String COMMENT 'What happened, of the first',
    Count UInt64 COMMENT 'How often within ten seconds'
)
ENGINE = {{ engine('MergeTree') }}
ORDER BY (Timestamp, Kind)
TTL toDateTime(Timestamp) + toIntervalDay(90)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Keys that were refused or used from new addresses, reads that were denied: for keys of every project';
