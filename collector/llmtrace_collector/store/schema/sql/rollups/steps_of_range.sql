{# Steps that started from `begin` to `end` (Unix seconds, whole tens). Rows of other projects than the `projects`,
   of which spans of that time are gone, are left as they are. #}
{% from 'parts/bucket.sql' import kept with context %}
{% set which -%}
span.Timestamp >= toDateTime({{ begin }}) AND span.Timestamp < toDateTime64({{ end }}, 9) AND {{ kept('span.') }}
{%- endset %}
{% set rows -%}
Time >= toDateTime({{ begin }}) AND Time < toDateTime({{ end }}) AND Project IN ({{ projects | literals }})
{%- endset %}
{% include 'parts/insert_steps.sql' %}
