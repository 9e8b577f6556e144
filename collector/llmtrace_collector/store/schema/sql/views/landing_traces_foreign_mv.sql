CREATE MATERIALIZED VIEW landing_traces_foreign_mv TO otel_traces AS
{{ decoding.landed_foreign_spans }};
