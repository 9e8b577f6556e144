CREATE MATERIALIZED VIEW landing_traces_mv TO otel_traces AS
{{ decoding.landed_plain_spans }};
