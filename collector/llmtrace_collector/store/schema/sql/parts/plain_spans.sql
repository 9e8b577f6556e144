{# Rows of otel_traces out of plain spans: those that use the current conventions' keys, or are not about models at all.
   `source` is what they come from; `mixed` says that foreign spans come from there too. #}
{% from 'parts/span_columns.sql' import span_columns with context %}
{% macro attribute(key) %}attrs[{{ key | literal }}]{% endmacro %}
{% macro text(field) -%}
{% if field.keys | length == 1 %}{{ attribute(field.keys[0]) }}
{%- else %}llmtrace_first([{% for key in field.keys %}{{ attribute(key) }}{{ ', ' if not loop.last }}{% endfor %}])
{%- endif %}
{%- endmacro %}
{{ span_columns(text, attribute, attribute(counted_key), 'entry.1 IN (' ~ plain_text_keys | literals ~ ')') }}
FROM (
    SELECT *, mapFromArrays(keys, texts) AS attrs
    FROM (
{% include 'parts/decoded_spans.sql' %}
    )
{% if mixed %}
    WHERE NOT {% include 'parts/is_foreign.sql' %}
{% endif %}
)
