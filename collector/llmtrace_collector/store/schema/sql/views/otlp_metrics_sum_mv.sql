CREATE MATERIALIZED VIEW otlp_metrics_sum_mv TO otel_metrics_sum AS
SELECT
{% include 'parts/metric_head_select.sql' %}

    if(point.value = 'as_int', toFloat64(point.as_int), point.as_double) AS Value,
    metric.sum.aggregation_temporality AS AggregationTemporality,
    metric.sum.is_monotonic AS IsMonotonic,
{% with kind = 'sum' %}{% include 'parts/metric_tail_select.sql' %}{% endwith %};
