{# A column of the table of attributes: its text as its type. `text(field)` says where the text of a field stands,
   `attribute(key)` where that of an attribute of the span does. #}
{% macro converted(field, text, attribute) -%}
{% set arguments = [text(field)] %}
{% if redaction.drop_content and field in name_fields %}
{% set arguments = ['llmtrace_name_only(' ~ text(field) ~ ')'] %}
{% endif %}
{% for key in field.also %}{{ arguments.append(attribute(key)) or '' }}{% endfor %}
{% for key in field.of_resource %}{{ arguments.append('ResourceAttributes[' ~ key | literal ~ ']') or '' }}{% endfor %}
{% set value = 'llmtrace_' ~ field.convert ~ '(' ~ arguments | join(', ') ~ ')' if field.convert else arguments[0] %}
{{ 'if(IsLlm, ' ~ value ~ ', ' ~ field.nothing ~ ')' if field.of_calls else value }}
{%- endmacro %}
{# The first of some attributes that is there. #}
{% macro first_text(keys, attribute) -%}
{% if keys | length == 1 %}{{ attribute(keys[0]) }}
{%- else %}llmtrace_first([
{% for key in keys %}
        {{ attribute(key) }}{{ ',' if not loop.last }}
{% endfor %}
    ])
{%- endif %}
{%- endmacro %}
