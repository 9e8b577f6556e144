{# Whether a span is an attempt that its client repeated: a further attempt stands for it. #}
{% macro is_retry(span) %}({{ span }}.Uncounted = 'sender' AND {{ span }}.StatusCode = 'Error'){% endmacro %}
