CREATE MATERIALIZED VIEW landing_traces_foreign_mv TO otel_traces AS
{% with source = 'landing_traces', landed = true, nested = true %}
{% include 'parts/foreign_spans.sql' %}
{% endwith %};
