CREATE TABLE rollup_passes (
    Name LowCardinality(String) COMMENT 'Rollup: usage_hour, steps, traces, traces without root or trace times',
    ScannedTo SimpleAggregateFunction(max, DateTime64(3)) DEFAULT 0 COMMENT 'What was stored before this moment is in the rollup',
    Until SimpleAggregateFunction(max, DateTime) DEFAULT 0 COMMENT 'usage_hour: hours before this one are closed',
    FilledFrom SimpleAggregateFunction(min, DateTime64(3)) DEFAULT toDateTime64('2200-01-01 00:00:00', 3, 'UTC')
        COMMENT 'steps and traces: spans from this moment on that were there before the rollup are in it',
    At SimpleAggregateFunction(max, DateTime64(3)) DEFAULT now64(3) COMMENT 'When that was noted'
)
ENGINE = {{ engine('AggregatingMergeTree') }}
ORDER BY Name
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'How far each rollup that a task makes has come';
