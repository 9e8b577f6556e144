CREATE TABLE otel_traces_trace_id_ts (
    TraceId String COMMENT 'Id of the trace' CODEC(ZSTD(1)),
    Start DateTime COMMENT 'When the first of some of its spans began' CODEC(Delta(4), ZSTD(1)),
    End DateTime COMMENT 'When the last of them began' CODEC(Delta(4), ZSTD(1)),
    Project LowCardinality(String) COMMENT 'Project whose trace it is'
)
ENGINE = {{ engine('MergeTree') }}
PARTITION BY toMonday(Start)
ORDER BY (TraceId, Start)
TTL Start + toIntervalDay({{ longest_retention_days }})
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1, index_granularity = 512
COMMENT 'When each trace was, so that its spans are read without searching all days; rows of one trace add up, and come some seconds after its spans: trace_times has both';
