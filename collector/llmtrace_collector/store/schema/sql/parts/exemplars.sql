{# OTLP's exemplars of a data point. -#}
exemplars Array(Tuple(
    time_unix_nano UInt64,
    value Enum8('none' = 0, 'as_double' = 3, 'as_int' = 6),
    as_double Float64,
    as_int Int64,
    span_id String,
    trace_id String,
    filtered_attributes {% include 'parts/key_values.sql' %}

))
