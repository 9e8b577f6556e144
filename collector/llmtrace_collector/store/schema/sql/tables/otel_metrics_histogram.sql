CREATE TABLE otel_metrics_histogram (
{% include 'parts/metric_head.sql' %}

    Count UInt64 COMMENT 'Number of measurements' CODEC(Delta(8), ZSTD(1)),
    Sum Float64 COMMENT 'Sum of the measurements, in MetricUnit' CODEC(ZSTD(1)),
    BucketCounts Array(UInt64) COMMENT 'Measurements in each bucket' CODEC(ZSTD(1)),
    ExplicitBounds Array(Float64) COMMENT 'Upper bounds of the buckets but the last, in MetricUnit' CODEC(ZSTD(1)),
{% include 'parts/metric_exemplars.sql' %}

    Flags UInt32 COMMENT 'Flags of OTLP' CODEC(ZSTD(1)),
    Min Float64 COMMENT 'Smallest measurement, in MetricUnit' CODEC(ZSTD(1)),
    Max Float64 COMMENT 'Greatest measurement, in MetricUnit' CODEC(ZSTD(1)),
    AggregationTemporality Int32 COMMENT '1: since the last data point, 2: since StartTimeUnix' CODEC(ZSTD(1)),
{% include 'parts/metric_tail.sql' %}

COMMENT 'Histograms (OTLP /v1/metrics): measurements counted by size';
