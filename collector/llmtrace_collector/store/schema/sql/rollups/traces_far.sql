{# Traces that became quiet and whose root came long ago, the `early` ones, which began long before it, or, with `of_root` false, never: the lookup table says when they
   started. #}
{% from 'parts/bucket.sql' import moment with context %}
{% set quieted -%}
SELECT Project, TraceId FROM ({% include 'parts/quieted.sql' %}) WHERE
{%- if not of_root %} NOT Rooted
{%- else %} (NOT (Rooted AND First >= {{ moment(near) }}){% if early %} OR TraceId IN ({{ early | literals }}){% endif %})
{%- endif %}

{%- endset %}
{% set bounds -%}
FROM otel_traces_trace_id_ts WHERE TraceId IN (SELECT TraceId FROM ({{ quieted }}))
{%- endset %}
{% set which -%}
span.Timestamp >= (SELECT min(Start) {{ bounds }}) AND (span.Project, span.TraceId) IN ({{ quieted }})
{%- endset %}
{% set rows %}Start >= (SELECT min(Start) {{ bounds }}) AND (Project, TraceId) IN ({{ quieted }}){% endset %}
{% set having %}{{ '' if of_root else 'NOT ' }}HasRoot{% endset %}
{% if counts_rows %}
SELECT count() FROM trace_rows WHERE {{ rows }}
{% else %}
{% include 'parts/insert_traces.sql' %}
{% endif %}
