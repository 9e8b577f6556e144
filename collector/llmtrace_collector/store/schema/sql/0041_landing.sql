-- Where an OpenTelemetry Collector or Rotel writes spans itself, on a server: the columns of its ClickHouse
-- exporter, a name that both can be told (Rotel's are a prefix and `_traces`). What lands here goes through the
-- same views as what came through our doors.

CREATE TABLE IF NOT EXISTS landing_traces (
    Timestamp DateTime64(9),
    TraceId String,
    SpanId String,
    ParentSpanId String,
    TraceState String,
    SpanName LowCardinality(String),
    SpanKind LowCardinality(String),
    ServiceName LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String),
    ScopeName String,
    ScopeVersion String,
    SpanAttributes Map(LowCardinality(String), String),
    Duration UInt64,
    StatusCode LowCardinality(String),
    StatusMessage String,
    Events Nested (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    )
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_traces_mv TO otel_traces AS
{landed_plain_spans};

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_traces_foreign_mv TO otel_traces AS
{landed_foreign_spans};
