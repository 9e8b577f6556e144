{# What is not foreign of segments with foreign spans. #}
CREATE MATERIALIZED VIEW otlp_mixed_mv TO otel_traces AS
{% with source = 'otlp_mixed_in', landed = false, mixed = true %}
{% include 'parts/plain_spans.sql' %}
{% endwith %};
