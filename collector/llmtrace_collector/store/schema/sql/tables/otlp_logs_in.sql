CREATE TABLE otlp_logs_in (
    project String COMMENT 'Project of the key that the request came with',
    received UInt64 COMMENT 'Unix nanoseconds at which it came',
    request Tuple(
        resource_logs Array(Tuple(
            resource Tuple(attributes {% include 'parts/key_values.sql' %}),
            scope_logs Array(Tuple(
                scope Tuple(name String, version String, attributes {% include 'parts/key_values.sql' %}),
                log_records Array(Tuple(
                    time_unix_nano UInt64,
                    observed_time_unix_nano UInt64,
                    severity_number Int32,
                    severity_text String,
                    body {% include 'parts/any_value.sql' %},
                    attributes {% include 'parts/key_values.sql' %},
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
