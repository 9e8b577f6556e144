{# Traces that started from `begin` to `end` (Unix seconds) and are quiet. Rows of the `projects` whose spans are gone are
   taken back; of others they may be gone because their time was over. #}
{% from 'parts/bucket.sql' import kept with context %}
{% from 'parts/quiet.sql' import quiet with context %}
{% set started -%}
SELECT DISTINCT Project, TraceId FROM otel_traces
        WHERE Timestamp >= toDateTime({{ begin }}) AND Timestamp < toDateTime64({{ end }}, 9) AND TraceId != '' AND {{ kept('') }}
{%- endset %}
{% set bounds -%}
FROM otel_traces_trace_id_ts WHERE TraceId IN (SELECT TraceId FROM ({{ started }}))
{%- endset %}
{% set which -%}
span.Timestamp >= (SELECT least(min(Start), toDateTime({{ begin }})) {{ bounds }})
    AND span.Timestamp <= (SELECT greatest(max(End), toDateTime({{ end }})) + 1 {{ bounds }})
    AND (span.Project, span.TraceId) IN ({{ started }})
{%- endset %}
{% set rows -%}
Start >= toDateTime({{ begin }}) AND Start < toDateTime({{ end }})
    AND (Project IN ({{ projects | literals }}) OR (Project, TraceId) IN ({{ started }}))
{%- endset %}
{% set having -%}
Start >= toDateTime({{ begin }}) AND Start < toDateTime({{ end }}) AND {{ quiet() }}
{%- endset %}
{% if counts_rows %}
SELECT count() FROM trace_rows WHERE {{ rows }}
{% else %}
{% include 'parts/insert_traces.sql' %}
{% endif %}
