{# Traces with calls in the `minutes` (Unix seconds of their begin) that are quiet. #}
{% from 'parts/quiet.sql' import quiet with context %}
{% set called -%}
SELECT DISTINCT Project, TraceId FROM otel_traces
        WHERE Timestamp >= toDateTime({{ minutes | min }}) AND Timestamp < toDateTime64({{ (minutes | max) + 60 }}, 9)
            AND IsLlm AND TraceId != '' AND toUnixTimestamp(toStartOfMinute(Timestamp)) IN ({{ minutes | join(', ') }})
{%- endset %}
{% set bounds -%}
FROM otel_traces_trace_id_ts WHERE TraceId IN (SELECT TraceId FROM ({{ called }}))
{%- endset %}
{% set which -%}
span.Timestamp >= (SELECT min(Start) {{ bounds }}) AND span.Timestamp <= (SELECT max(End) + 1 {{ bounds }})
    AND (span.Project, span.TraceId) IN ({{ called }})
{%- endset %}
{% set rows -%}
Start >= (SELECT min(Start) {{ bounds }}) AND Start <= (SELECT max(End) + 1 {{ bounds }})
    AND (Project, TraceId) IN ({{ called }})
{%- endset %}
{% set having %}{{ quiet() }}{% endset %}
{% if counts_rows %}
SELECT count() FROM trace_rows WHERE {{ rows }}
{% else %}
{% include 'parts/insert_traces.sql' %}
{% endif %}
