CREATE TABLE otlp_logs_in (
    project String COMMENT 'Project of the key that the request came with',
    received UInt64 COMMENT 'Unix nanoseconds at which it came',
    request Tuple(
        resource_logs Array(Tuple(
            resource Tuple(attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    ))))))),
            scope_logs Array(Tuple(
                scope Tuple(name String, version String, attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    ))))))),
                log_records Array(Tuple(
                    time_unix_nano UInt64,
                    observed_time_unix_nano UInt64,
                    severity_number Int32,
                    severity_text String,
                    body Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    )))),
                    attributes Array(Tuple(key String, value Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String
    )))))),
                    flags UInt32,
                    trace_id String,
                    span_id String,
                    event_name String
                ))
            ))
        ))
    ) COMMENT 'An OTLP ExportLogsServiceRequest'
)
ENGINE = Null
COMMENT 'Requests of log records as they come: nothing stays here, a materialized view flattens them into otel_logs';
