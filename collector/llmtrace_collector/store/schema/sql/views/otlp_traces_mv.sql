-- Plain spans: those that use the current convention's keys, or are not about models at all.
CREATE MATERIALIZED VIEW otlp_traces_mv TO otel_traces AS
{{ decoding.plain_spans }};
