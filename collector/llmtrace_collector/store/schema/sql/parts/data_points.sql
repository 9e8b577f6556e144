{# Numbers of a gauge or a sum, as OTLP has them. -#}
data_points Array(Tuple(
    start_time_unix_nano UInt64,
    time_unix_nano UInt64,
    value Enum8('none' = 0, 'as_double' = 4, 'as_int' = 6),
    as_double Float64,
    as_int Int64,
    {% include 'parts/exemplars.sql' %},
    attributes {% include 'parts/key_values.sql' %},
    flags UInt32
))
