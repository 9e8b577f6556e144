{# OTLP's AnyValue as otlp.proto has it: the fields, and which of them was sent. Arrays hold scalars. -#}
Tuple(
    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'array_value' = 5, 'bytes_value' = 7),
    {% include 'parts/scalar_columns.sql' %},
    array_value Tuple(values Array(Tuple(
        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7),
        {% include 'parts/scalar_columns.sql' %}

    ))))
