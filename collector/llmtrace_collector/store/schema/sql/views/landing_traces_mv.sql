CREATE MATERIALIZED VIEW landing_traces_mv TO otel_traces AS
{% with source = 'landing_traces', landed = true, mixed = true, nested = true %}
{% include 'parts/plain_spans.sql' %}
{% endwith %};
