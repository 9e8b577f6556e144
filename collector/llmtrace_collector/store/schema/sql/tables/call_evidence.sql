CREATE TABLE call_evidence (
    Project LowCardinality(String) COMMENT 'Project of the span',
    TraceId String COMMENT 'Trace of the span' CODEC(ZSTD(3)),
    SpanId String COMMENT 'The span that calls a model' CODEC(ZSTD(3)),
    Timestamp DateTime64(9) COMMENT 'When the span started' CODEC(T64, ZSTD(1)),
    Decision LowCardinality(String) COMMENT 'duplicate: another span is the record of its call; repeats: it encloses calls that count; retry: an attempt that was made again; ambiguous: it counts, and may be the call of Candidates; empty: it counts again',
    RecordTraceId String COMMENT 'Trace of the record; empty where it counts itself' CODEC(ZSTD(3)),
    RecordSpanId String COMMENT 'The span that counts for the call, or for one of those it encloses; of an attempt the last one' CODEC(ZSTD(3)),
    Evidence Array(LowCardinality(String)) COMMENT 'What speaks for it: response_id, time, instance, model, tokens, answer, question, failure, parent, encloses, link, request; of an attempt also what is wrong with trying again: cannot_help, no_backoff, excess' CODEC(ZSTD(1)),
    Candidates Array(Tuple(String, String)) COMMENT 'Trace and span of those that may be the same call, where it is ambiguous' CODEC(ZSTD(3)),
    DecidedAt DateTime64(3) DEFAULT now64(3) COMMENT 'When that was decided: of one span the newest holds' CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 COMMENT 'Days that the row is kept',
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_record RecordTraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {{ engine('ReplacingMergeTree', 'DecidedAt') }}
PARTITION BY (RetentionDays, toDate(Timestamp, 'UTC'))
ORDER BY (Project, toStartOfMinute(Timestamp), TraceId, SpanId)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1
COMMENT 'Which spans tell of one call, by which evidence, and what could not be decided'
