CREATE TABLE usage_stale (
    Minute DateTime COMMENT 'Begin of the minute',
    Reason LowCardinality(String) COMMENT 'Why it no longer agrees',
    MarkedAt DateTime64(3) DEFAULT now64(3) COMMENT 'When that was noted'
)
ENGINE = {{ engine('MergeTree') }}
ORDER BY Minute
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Minutes of the rollups that no longer agree with the spans: they are made again and taken off the list';
