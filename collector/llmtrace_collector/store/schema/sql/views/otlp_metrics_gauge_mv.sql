CREATE MATERIALIZED VIEW otlp_metrics_gauge_mv TO otel_metrics_gauge AS
SELECT
{% include 'parts/metric_head_select.sql' %}

    if(point.value = 'as_int', toFloat64(point.as_int), point.as_double) AS Value,
{% with kind = 'gauge' %}{% include 'parts/metric_tail_select.sql' %}{% endwith %};
