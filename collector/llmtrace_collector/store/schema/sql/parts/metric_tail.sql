{# The columns that every kind of metric ends with: ours. #}
    Project LowCardinality(String) COMMENT 'Project whose data this is',
    ReceivedAt DateTime64(3) COMMENT 'When the collector received it' CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT {{ retention_days }} COMMENT 'Days that the row is kept'
)
ENGINE = {{ engine('MergeTree') }}
PARTITION BY (RetentionDays, toDate(TimeUnix))
ORDER BY (Project, ServiceName, MetricName, TimeUnix)
TTL toDateTime(TimeUnix) + toIntervalDay(RetentionDays)
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1
