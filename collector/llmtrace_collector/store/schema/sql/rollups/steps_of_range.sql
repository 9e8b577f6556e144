{# Steps that started from `begin` to `end` (Unix seconds, whole tens). Where `whole` is false, spans of some projects are
   gone: rows of these are left as they are. #}
{% from 'parts/bucket.sql' import kept with context %}
{% set which -%}
span.Timestamp >= toDateTime({{ begin }}) AND span.Timestamp < toDateTime64({{ end }}, 9) AND {{ kept('span.') }}
{%- endset %}
{% set rows -%}
Time >= toDateTime({{ begin }}) AND Time < toDateTime({{ end }})
{%- if not whole %} AND Project IN (SELECT Project FROM otel_traces AS span WHERE {{ which }}){% endif %}

{%- endset %}
{% include 'parts/insert_steps.sql' %}
