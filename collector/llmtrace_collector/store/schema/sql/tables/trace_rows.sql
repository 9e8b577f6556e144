CREATE TABLE trace_rows (
    Project LowCardinality(String) COMMENT 'Project of the trace',
    TraceId String COMMENT 'Id of the trace, hexadecimal' CODEC(ZSTD(3)),
    Start DateTime64(9) COMMENT 'When its first span started' CODEC(T64, ZSTD(1)),
    End DateTime64(9) COMMENT 'When its last span ended' CODEC(T64, ZSTD(1)),
    Duration UInt64 COMMENT 'Nanoseconds from Start to End' CODEC(T64, ZSTD(1)),
    RootName LowCardinality(String) COMMENT 'Name of the root span; where none came, of the topmost: the one that started first',
    RootService LowCardinality(String) COMMENT 'Service of that span',
    RootKind LowCardinality(String) COMMENT 'Kind of that span: Server, Client, Internal, Producer or Consumer',
    Operation LowCardinality(String) COMMENT 'gen_ai.operation.name of that span',
    Status LowCardinality(String) COMMENT 'failed: that span failed; recovered: it did not, but a step did; ok: neither',
    HasRoot Bool COMMENT 'Whether a span without a parent came',
    Spans UInt64 COMMENT 'Spans' CODEC(T64, ZSTD(1)),
    Steps UInt64 COMMENT 'Spans that are no superseded attempt' CODEC(T64, ZSTD(1)),
    FailedSteps UInt64 COMMENT 'Steps that failed' CODEC(T64, ZSTD(1)),
    Retries UInt64 COMMENT 'Attempts that failed and were repeated' CODEC(T64, ZSTD(1)),
    Calls UInt64 COMMENT 'Counted calls of models' CODEC(T64, ZSTD(1)),
    Errors UInt64 COMMENT 'Counted calls that failed' CODEC(T64, ZSTD(1)),
    UnknownUsage UInt64 COMMENT 'Counted calls of which no tokens are known' CODEC(T64, ZSTD(1)),
{% for count in trace_counts %}
    {{ count.name }} UInt64 COMMENT {{ (count.comment.partition(';')[0] ~ ', of its counted calls') | literal }} CODEC(T64, ZSTD(1)),
{% endfor %}
    Models Array(LowCardinality(String)) COMMENT 'Models that its counted calls asked for, in order',
    Services Array(LowCardinality(String)) COMMENT 'Services with spans in it, in order',
    UserId String COMMENT 'User of the first span that names one' CODEC(ZSTD(3)),
    SessionId String COMMENT 'Session of the first span that names one' CODEC(ZSTD(3)),
    Tags Array(LowCardinality(String)) COMMENT 'Tags of all spans, in order',
    Experiment LowCardinality(String) COMMENT 'Experiment of the first span that names one',
    RunId LowCardinality(String) COMMENT 'Run of the first span that names one',
    PromptName LowCardinality(String) COMMENT 'Prompt of the first span that names one',
    PromptVersion LowCardinality(String) COMMENT 'Version of that prompt',
    Purpose LowCardinality(String) COMMENT 'What the work was for, as the root says: {{ purposes | alternatives }}',
    FinishReasons Array(LowCardinality(String)) COMMENT 'Why calls ended, in order',
    ErrorTypes Array(LowCardinality(String)) COMMENT 'error.type of its failed spans, in order',
    TimeToFirstToken Nullable(Float64) COMMENT 'Seconds to the first token of the first call that says it' CODEC(ZSTD(1)),
    HasImage Bool COMMENT 'Whether a message holds an image',
    HasRetrieval Bool COMMENT 'Whether a step is a retrieval',
    Abandoned Bool COMMENT 'Whether a stream was left before its end',
    Weight Float64 COMMENT 'How many traces a sampled one stands for' CODEC(ZSTD(1)),
    RetentionDays UInt16 COMMENT 'Days that the row is kept',
    Version UInt64 COMMENT 'When the row was made, Unix nanoseconds: of one key the newest holds',
    IsDeleted UInt8 COMMENT 'Whether another row, which starts earlier or later, took its place',
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_user UserId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_session SessionId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_end End TYPE minmax GRANULARITY 1
)
ENGINE = {{ engine('ReplacingMergeTree', 'Version, IsDeleted') }}
PARTITION BY (RetentionDays, toDate(Start, 'UTC'))
ORDER BY (Project, Start, TraceId)
TTL toDateTime(Start) + toIntervalDay(RetentionDays)
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1
COMMENT 'Rows of traces with those that they replace';
