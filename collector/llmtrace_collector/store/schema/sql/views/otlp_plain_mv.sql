{# Segments of plain spans without events and links, as most are: the less a view says, the less an insert costs. #}
CREATE MATERIALIZED VIEW otlp_plain_mv TO otel_traces AS
{% with source = 'otlp_plain_in', landed = false, mixed = false, nested = false %}
{% include 'parts/plain_spans.sql' %}
{% endwith %};
