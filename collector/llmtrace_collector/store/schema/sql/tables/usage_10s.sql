{% from 'parts/weighted.sql' import day_class with context %}
CREATE TABLE usage_10s (
    Project LowCardinality(String) COMMENT 'Project of the calls',
    Time DateTime COMMENT 'Begin of ten seconds' CODEC(Delta(4), ZSTD(1)),
    ServiceName LowCardinality(String) COMMENT 'Service that called',
    Provider LowCardinality(String) COMMENT 'Provider that was called',
    Model LowCardinality(String) COMMENT 'Model that was asked for',
    ResponseModel LowCardinality(String) COMMENT 'Model that answered',
    ServiceTier LowCardinality(String) COMMENT 'Tier by which prices differ; empty for the standard one',
    ContextClass UInt32 COMMENT 'Tokens that the input exceeds, of the bounds at which prices change',
    DayClass UInt16 DEFAULT {{ day_class('Time') }} COMMENT 'Minutes since midnight, UTC, of the last bound at which prices change with the time of day',
    Operation LowCardinality(String) COMMENT '{{ llm_operations | alternatives }}',
    UserId String COMMENT 'User for whom was called',
    Experiment LowCardinality(String) COMMENT 'Experiment that the calls belong to',
    RunId LowCardinality(String) COMMENT 'Run of that experiment',
    PromptName LowCardinality(String) COMMENT 'Prompt that was used',
    PromptVersion LowCardinality(String) COMMENT 'Version of that prompt',
    Purpose LowCardinality(String) COMMENT 'What the calls were for: {{ purposes | alternatives }}',
    Account LowCardinality(String) COMMENT 'Account at the provider that pays',
    StatedBy LowCardinality(String) COMMENT 'Who says what the calls cost, where that holds before a computed cost; empty for nobody',
    Estimated LowCardinality(String) COMMENT 'Which tokens are estimated from text: input, output, input+output; empty for none',
    Tags Array(LowCardinality(String)) COMMENT 'Tags, in order',
    LateAt DateTime64(3) COMMENT 'When calls were stored that came after the time for which spans are kept, or a second after 1970 for those from before an upgrade; 1970 for all others' CODEC(Delta(8), ZSTD(1)),
{% include 'parts/usage_counts.sql' %},
    DurationSum SimpleAggregateFunction(sum, UInt64) COMMENT 'Nanoseconds of all calls together',
    Spans SimpleAggregateFunction(sum, UInt64) COMMENT 'Spans, which are fewer than calls where they were sampled',
    UsageFaults SimpleAggregateFunction(sum, UInt64) COMMENT 'Spans whose token counts contradict each other',
    TtftCount SimpleAggregateFunction(sum, UInt64) COMMENT 'Spans that say when the first token came',
    LatencyDigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) COMMENT 'Seconds of each span: median, 95th and 99th percentile',
    TtftDigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) COMMENT 'Seconds to the first token of each span: median, 95th and 99th percentile',
    StoredAt SimpleAggregateFunction(max, DateTime64(3)) COMMENT 'When the newest of it was stored' CODEC(Delta(8), ZSTD(1)),
    INDEX idx_stored_at StoredAt TYPE minmax GRANULARITY 1
)
ENGINE = {{ engine('AggregatingMergeTree') }}
PARTITION BY toDate(Time, 'UTC')
ORDER BY (
    Project, Time, Model, ServiceName, Provider, ResponseModel, Operation, UserId, Experiment, RunId, PromptName,
    PromptVersion, Purpose, ServiceTier, ContextClass, DayClass, Account, StatedBy, Estimated, Tags, LateAt
)
TTL greatest(Time + toIntervalDay(400), toDateTime(StoredAt) + toIntervalDay(7))
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1
COMMENT 'Usage of models in buckets of ten seconds: what dashboards, cost and detection read; made from the spans';
