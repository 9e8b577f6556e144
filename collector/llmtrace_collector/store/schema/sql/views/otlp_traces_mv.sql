{# Segments without foreign spans. #}
CREATE MATERIALIZED VIEW otlp_traces_mv TO otel_traces AS
{% with source = 'otlp_traces_in', landed = false, mixed = false %}
{% include 'parts/plain_spans.sql' %}
{% endwith %};
