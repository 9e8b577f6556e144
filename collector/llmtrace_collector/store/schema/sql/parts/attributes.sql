{# Attributes as a Map, without what may not be stored: `of_otlp` those of a request, `of_map` a Map of another writer;
   `event` is the name of the event that they belong to. #}
{% macro _without_content(attributes, event) -%}
{% if not redaction.drop_content %}{{ attributes }}
{%- elif event %}llmtrace_event_without_content({{ attributes }}, {{ event }})
{%- else %}llmtrace_without_content({{ attributes }})
{%- endif %}
{%- endmacro %}
{% macro of_otlp(attributes, event='') -%}
{% set function = redaction.function ~ '_attributes' if redaction.replaces else 'llmtrace_attributes' %}
{{ _without_content(function ~ '(' ~ attributes ~ ')', event) }}
{%- endmacro %}
{% macro of_map(attributes, event='') -%}
{{ _without_content(redaction.function ~ '_map(' ~ attributes ~ ')' if redaction.replaces else attributes, event) }}
{%- endmacro %}
