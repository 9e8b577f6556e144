{# Traces that became quiet and whose root came lately: none of their spans starts before `first` (Unix milliseconds),
   which is by a minute before the first root, for clocks that differ; those of the `early` traces do. #}
{% from 'parts/bucket.sql' import moment with context %}
{% set quieted -%}
SELECT Project, TraceId FROM ({% include 'parts/quieted.sql' %}) WHERE Rooted AND First >= {{ moment(near) }}
{%- if early %} AND TraceId NOT IN ({{ early | literals }}){% endif %}

{%- endset %}
{% set which %}span.Timestamp >= {{ moment(first) }} AND (span.Project, span.TraceId) IN ({{ quieted }}){% endset %}
{% set rows %}Start >= {{ moment(first) }} AND (Project, TraceId) IN ({{ quieted }}){% endset %}
{% set having = '' %}
{% if counts_rows %}
SELECT count() FROM trace_rows WHERE {{ rows }}
{% else %}
{% include 'parts/insert_traces.sql' %}
{% endif %}
