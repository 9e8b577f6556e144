{# Plain spans of other segments. #}
CREATE MATERIALIZED VIEW otlp_mixed_mv TO otel_traces AS
{% with source = 'otlp_mixed_in', landed = false, mixed = true, nested = true %}
{% include 'parts/plain_spans.sql' %}
{% endwith %};
