CREATE TABLE steps_10s (
    Project LowCardinality(String) COMMENT 'Project of the spans',
    Time DateTime COMMENT 'Begin of ten seconds in which the steps started' CODEC(Delta(4), ZSTD(1)),
    ServiceName LowCardinality(String) COMMENT 'Service that took the steps',
    StepKind LowCardinality(String) COMMENT 'Operation of the convention (chat, execute_tool, retrieval, ...), else span',
    StepName LowCardinality(String) COMMENT 'Name of the tool, the agent or the data source, else of the span, ids in it as *; (other) beyond the most frequent ones',
    Agent LowCardinality(String) COMMENT 'Agent that the step names, or its resource' ,
    AgentVersion LowCardinality(String) COMMENT 'Version of that agent',
    Status LowCardinality(String) COMMENT 'ok, error, or retried: failed, and superseded by a further attempt',
    Purpose LowCardinality(String) COMMENT 'What the work was for: {{ purposes | alternatives }}',
    Steps UInt64 COMMENT 'Steps; a sampled one counts as often as it stands for',
    Spans UInt64 COMMENT 'Spans, which are fewer than steps where they were sampled',
    DurationSum UInt64 COMMENT 'Nanoseconds of all steps together',
    DurationMin UInt64 COMMENT 'Nanoseconds of the shortest span',
    DurationMax UInt64 COMMENT 'Nanoseconds of the longest span',
    DurationDigest AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64) COMMENT 'Seconds of each span: median, 95th and 99th percentile',
    Version UInt64 COMMENT 'When the row was made, Unix nanoseconds: of one key the newest holds',
    IsDeleted UInt8 COMMENT 'Whether the key has no steps any more'
)
ENGINE = {{ engine('ReplacingMergeTree', 'Version, IsDeleted') }}
PARTITION BY toDate(Time, 'UTC')
ORDER BY (Project, Time, ServiceName, StepKind, StepName, Agent, AgentVersion, Status, Purpose)
TTL Time + toIntervalDay(400)
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1
COMMENT 'Rows of steps with those that they replace';
