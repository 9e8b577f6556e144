{# Whether a span is an attempt that a client or a loop of the program's own repeated: a further one stands for it. #}
{% macro is_retry(span) %}({{ span }}.Uncounted IN ('retry', 'sender') AND {{ span }}.StatusCode = 'Error'){% endmacro %}
