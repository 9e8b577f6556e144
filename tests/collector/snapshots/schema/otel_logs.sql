CREATE TABLE otel_logs (
    Timestamp DateTime64(9) COMMENT 'When it happened' CODEC(Delta(8), ZSTD(1)),
    TraceId String COMMENT 'Trace in which it happened' CODEC(ZSTD(1)),
    SpanId String COMMENT 'Span in which it happened' CODEC(ZSTD(1)),
    TraceFlags UInt8 COMMENT 'Flags of W3C Trace Context',
    SeverityText LowCardinality(String) COMMENT 'Severity, in the sender''s words' CODEC(ZSTD(1)),
    SeverityNumber UInt8 COMMENT 'Severity, 1 (trace) to 24 (fatal)',
    ServiceName LowCardinality(String) COMMENT 'Service that sent the record' CODEC(ZSTD(1)),
    Body String COMMENT 'The record''s text' CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of the resource' CODEC(ZSTD(1)),
    ScopeName String COMMENT 'Library that made the record' CODEC(ZSTD(1)),
    ScopeVersion String COMMENT 'Version of that library' CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of the record' CODEC(ZSTD(1)),
    EventName LowCardinality(String) COMMENT 'Name of the event that the record tells of' CODEC(ZSTD(1)),
    Project LowCardinality(String)
        DEFAULT if(ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'], 'default')
        COMMENT 'Project whose data this is: that of the key, else of the resource',
    ReceivedAt DateTime64(3) DEFAULT now64(3) COMMENT 'When the collector received it' CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT 30 COMMENT 'Days that the row is kept',
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(Timestamp))
ORDER BY (Project, toStartOfMinute(Timestamp), ServiceName, Timestamp)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, ttl_only_drop_parts = 1
COMMENT 'Log records (OTLP /v1/logs), the columns of the OpenTelemetry Collector''s ClickHouse exporter, then ours';
