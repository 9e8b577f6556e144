{# Steps of the `buckets`, ten seconds each (Unix seconds of their begin, in order). Rows of projects whose spans of them
   are gone are left as they are. #}
{% from 'parts/bucket.sql' import bucket, kept with context %}
{% set begins = buckets | join(', ') %}
{% set which -%}
span.Timestamp >= toDateTime({{ buckets | first }}) AND span.Timestamp < toDateTime64({{ (buckets | last) + 10 }}, 9)
    AND toUnixTimestamp({{ bucket('span.Timestamp') }}) IN ({{ begins }}) AND {{ kept('span.') }}
{%- endset %}
{% set rows -%}
Time >= toDateTime({{ buckets | first }}) AND Time <= toDateTime({{ buckets | last }})
    AND (Project, Time) IN (SELECT span.Project, {{ bucket('span.Timestamp') }} FROM otel_traces AS span WHERE {{ which }})
{%- endset %}
{% include 'parts/insert_steps.sql' %}
