-- Spans that speak another dialect.
CREATE MATERIALIZED VIEW otlp_foreign_mv TO otel_traces AS
{{ decoding.foreign_spans }};
