CREATE TABLE otel_metrics_gauge (
{% include 'parts/metric_head.sql' %}

    Value Float64 COMMENT 'What was measured, in MetricUnit' CODEC(ZSTD(1)),
    Flags UInt32 COMMENT 'Flags of OTLP' CODEC(ZSTD(1)),
{% include 'parts/metric_exemplars.sql' %}

{% include 'parts/metric_tail.sql' %}

COMMENT 'Gauges (OTLP /v1/metrics): values as they were at a time';
