CREATE TABLE otlp_metrics_in (
    project String COMMENT 'Project of the key that the request came with',
    received UInt64 COMMENT 'Unix nanoseconds at which it came',
    request Tuple(
        resource_metrics Array(Tuple(
            resource Tuple(attributes {% include 'parts/key_values.sql' %}),
            scope_metrics Array(Tuple(
                scope Tuple(
                    name String,
                    version String,
                    attributes {% include 'parts/key_values.sql' %},
                    dropped_attributes_count UInt32
                ),
                metrics Array(Tuple(
                    name String,
                    description String,
                    unit String,
                    gauge Tuple({% include 'parts/data_points.sql' %}),
                    sum Tuple({% include 'parts/data_points.sql' %}, aggregation_temporality Int32, is_monotonic Bool),
                    histogram Tuple(
                        data_points Array(Tuple(
                            start_time_unix_nano UInt64,
                            time_unix_nano UInt64,
                            count UInt64,
                            sum Float64,
                            bucket_counts Array(UInt64),
                            explicit_bounds Array(Float64),
                            {% include 'parts/exemplars.sql' %},
                            attributes {% include 'parts/key_values.sql' %},
                            flags UInt32,
                            min Float64,
                            max Float64
                        )),
                        aggregation_temporality Int32
                    )
                )),
                schema_url String
            )),
            schema_url String
        ))
    ) COMMENT 'An OTLP ExportMetricsServiceRequest'
)
ENGINE = Null
COMMENT 'Requests of metrics as they come: nothing stays here, materialized views flatten them into otel_metrics_*';
