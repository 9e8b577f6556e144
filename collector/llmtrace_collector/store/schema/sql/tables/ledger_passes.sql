CREATE TABLE ledger_passes (
    At DateTime64(3) COMMENT 'When call dedup ran',
    ScannedTo DateTime64(3) COMMENT 'Spans stored before this have been examined',
    Looked UInt64 COMMENT 'Spans examined',
    Changed UInt64 COMMENT 'Spans that count otherwise since'
)
ENGINE = {{ engine('MergeTree') }}
ORDER BY At
TTL toDateTime(At) + toIntervalDay(30)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'How far the spans were examined for calls that several spans tell of, and what came of it';
