{# Plain spans of any segment. A collector of a release before inserts all of its segments here, those with foreign
   spans after otlp_foreign_in took these: what it leaves out and what it decodes must not depend on who asks. #}
CREATE MATERIALIZED VIEW otlp_traces_mv TO otel_traces AS
{% with source = 'otlp_traces_in', landed = false, mixed = true, nested = true %}
{% include 'parts/plain_spans.sql' %}
{% endwith %};
