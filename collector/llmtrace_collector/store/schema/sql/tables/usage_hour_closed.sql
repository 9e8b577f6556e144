{% from 'parts/weighted.sql' import day_class with context %}
CREATE TABLE usage_hour_closed (
    Project LowCardinality(String) COMMENT 'Project of the calls',
    Time DateTime COMMENT 'Begin of the hour' CODEC(Delta(4), ZSTD(1)),
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
{% include 'parts/usage_counts.sql' %}

)
ENGINE = {{ engine('AggregatingMergeTree') }}
PARTITION BY toDate(Time, 'UTC')
ORDER BY (
    Project, Time, Model, Provider, ResponseModel, ServiceTier, ContextClass, DayClass, ServiceName, Operation, UserId,
    Experiment, RunId, PromptName, PromptVersion, Purpose, Account, StatedBy, Estimated, Tags, LateAt
)
TTL Time + toIntervalDay(800)
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1
COMMENT 'Hours of usage_hour that are over, added up from usage_10s';
