{# OTLP's attributes: a list of keys with values. -#}
Array(Tuple(key String, value {% include 'parts/any_value.sql' %}))
