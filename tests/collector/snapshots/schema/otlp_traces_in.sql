CREATE TABLE otlp_traces_in (
    project String COMMENT 'Project of the key that the request came with',
    received UInt64 COMMENT 'Unix nanoseconds at which it came',
    request Tuple(
        resource_spans Array(Tuple(
            resource Tuple(attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    ))))))),
            scope_spans Array(Tuple(
                scope Tuple(name String, version String),
                spans Array(Tuple(
                    trace_id String,
                    span_id String,
                    trace_state String,
                    parent_span_id String,
                    name String,
                    kind Int32,
                    start_time_unix_nano UInt64,
                    end_time_unix_nano UInt64,
                    attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    )))))),
                    events Array(Tuple(
                        time_unix_nano UInt64,
                        name String,
                        attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    ))))))
                    )),
                    links Array(Tuple(
                        trace_id String,
                        span_id String,
                        trace_state String,
                        attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    ))))))
                    )),
                    status Tuple(message String, code Int32)
                ))
            ))
        ))
    ) COMMENT 'An OTLP ExportTraceServiceRequest'
)
ENGINE = Null
COMMENT 'Requests of any spans: nothing stays here, otlp_traces_mv makes rows of otel_traces of those that speak no other dialect';
