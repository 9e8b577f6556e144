{# Requests of spans; the engine reads OTLP's protobuf into this shape by otlp.proto, with events and links where `nested`.
   The analyzer goes through all of it again and again: what no view reads is left out. #}
    project String COMMENT 'Project of the key that the request came with',
    received UInt64 COMMENT 'Unix nanoseconds at which it came',
    request Tuple(
        resource_spans Array(Tuple(
            resource Tuple(attributes {% include 'parts/key_values.sql' %}),
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
                    attributes {% include 'parts/key_values.sql' %},
{% if nested %}
                    events Array(Tuple(
                        time_unix_nano UInt64,
                        name String,
                        attributes {% include 'parts/key_values.sql' %}

                    )),
                    links Array(Tuple(
                        trace_id String,
                        span_id String,
                        trace_state String,
                        attributes {% include 'parts/key_values.sql' %}

                    )),
{% endif %}
                    status Tuple(message String, code Int32)
                ))
            ))
        ))
    ) COMMENT 'An OTLP ExportTraceServiceRequest'
