CREATE TABLE landing_traces (
    Timestamp DateTime64(9) COMMENT 'When the span began',
    TraceId String COMMENT 'Id of the trace, 32 hexadecimal digits',
    SpanId String COMMENT 'Id of the span, 16 hexadecimal digits',
    ParentSpanId String COMMENT 'Id of the span above; empty for the root',
    TraceState String COMMENT 'State of W3C Trace Context',
    SpanName LowCardinality(String) COMMENT 'Name of the span',
    SpanKind LowCardinality(String) COMMENT 'Internal, Server, Client, Producer, Consumer or Unspecified',
    ServiceName LowCardinality(String) COMMENT 'Service that sent the span',
    ResourceAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of the resource',
    ScopeName String COMMENT 'Library that made the span',
    ScopeVersion String COMMENT 'Version of that library',
    SpanAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of the span but those with a text column of their own',
    Duration UInt64 COMMENT 'Nanoseconds from begin to end',
    StatusCode LowCardinality(String) COMMENT 'Ok, Error or Unset',
    StatusMessage String COMMENT 'What went wrong, in words',
    `Events.Timestamp` Array(DateTime64(9)) COMMENT 'When each event of the span was',
    `Events.Name` Array(LowCardinality(String)) COMMENT 'Name of each event',
    `Events.Attributes` Array(Map(LowCardinality(String), String)) COMMENT 'Attributes of each event',
    `Links.TraceId` Array(String) COMMENT 'Trace of each span that this one is linked to',
    `Links.SpanId` Array(String) COMMENT 'Id of each linked span',
    `Links.TraceState` Array(String) COMMENT 'State of each link',
    `Links.Attributes` Array(Map(LowCardinality(String), String)) COMMENT 'Attributes of each link'
)
ENGINE = Null
COMMENT 'Spans that another collector writes to the server: the same views as for ours take them from here';
