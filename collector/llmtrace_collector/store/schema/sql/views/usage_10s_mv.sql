CREATE MATERIALIZED VIEW usage_10s_mv TO usage_10s AS
{% with source = 'otel_traces', where = '', inserted = true %}{% include 'parts/usage_10s_select.sql' %}{% endwith %};
