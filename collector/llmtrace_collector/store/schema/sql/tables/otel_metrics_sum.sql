CREATE TABLE otel_metrics_sum (
{% include 'parts/metric_head.sql' %}

    Value Float64 COMMENT 'What was added up, in MetricUnit' CODEC(ZSTD(1)),
    Flags UInt32 COMMENT 'Flags of OTLP' CODEC(ZSTD(1)),
{% include 'parts/metric_exemplars.sql' %}

    AggregationTemporality Int32 COMMENT '1: since the last data point, 2: since StartTimeUnix' CODEC(ZSTD(1)),
    IsMonotonic Bool COMMENT 'Whether it only grows' CODEC(ZSTD(1)),
{% include 'parts/metric_tail.sql' %}

COMMENT 'Sums (OTLP /v1/metrics): counters';
