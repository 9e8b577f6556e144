CREATE TABLE row_adjustments (
    Signal LowCardinality(String) COMMENT 'traces, logs or metrics',
    RetentionDays UInt16 COMMENT 'Days that the rows are kept',
    Day Date COMMENT 'Day of the rows'' own times',
    Project LowCardinality(String) COMMENT 'Project of the rows',
    ServiceName LowCardinality(String) COMMENT 'Service that sent them',
    Minute DateTime COMMENT 'Minute of their arrival; 1970 where that is not known' CODEC(Delta(4), ZSTD(1)),
    Rows Int64 COMMENT 'How many more there are, or with a minus fewer',
    Reason LowCardinality(String) COMMENT 'Why: upgrade, retention, erasure, lost, set aside',
    Detail String COMMENT 'The part that was set aside' CODEC(ZSTD(1)),
    At DateTime64(3) DEFAULT now64(3) COMMENT 'When that was noted'
)
ENGINE = {{ engine('MergeTree') }}
PARTITION BY toYYYYMM(At)
ORDER BY (Signal, Day, RetentionDays, At)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Rows of the store that came or went otherwise than by being received, so that the counts add up';
