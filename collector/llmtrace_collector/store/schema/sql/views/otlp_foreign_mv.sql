{# What is foreign of segments with foreign spans. #}
CREATE MATERIALIZED VIEW otlp_foreign_mv TO otel_traces AS
{% with source = 'otlp_foreign_in', landed = false %}
{% include 'parts/foreign_spans.sql' %}
{% endwith %};
