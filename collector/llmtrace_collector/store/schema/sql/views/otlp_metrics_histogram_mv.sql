CREATE MATERIALIZED VIEW otlp_metrics_histogram_mv TO otel_metrics_histogram AS
SELECT
{% include 'parts/metric_head_select.sql' %}

    point.count AS Count,
    point.sum AS Sum,
    point.bucket_counts AS BucketCounts,
    point.explicit_bounds AS ExplicitBounds,
    point.min AS Min,
    point.max AS Max,
    metric.histogram.aggregation_temporality AS AggregationTemporality,
{% with kind = 'histogram' %}{% include 'parts/metric_tail_select.sql' %}{% endwith %};
