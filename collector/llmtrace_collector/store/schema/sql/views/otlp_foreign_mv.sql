{# Foreign spans of other segments. #}
CREATE MATERIALIZED VIEW otlp_foreign_mv TO otel_traces AS
{% with source = 'otlp_foreign_in', landed = false, nested = true %}
{% include 'parts/foreign_spans.sql' %}
{% endwith %};
