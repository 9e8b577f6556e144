{# Steps of the `buckets`, ten seconds each (Unix seconds of their begin, in order), or, where they are too many to be
   named, of those from `first` to `last` that gained spans stored from `since` to `upto` (Unix milliseconds). Rows of
   projects whose spans of them are gone are left as they are. #}
{% from 'parts/bucket.sql' import bucket, moment, kept with context %}
{% macro between(span) -%}
{{ span }}Timestamp >= toDateTime({{ first }}) AND {{ span }}Timestamp < toDateTime64({{ last + 10 }}, 9)
{%- endmacro %}
{% set begins -%}
{% if buckets %}{{ buckets | join(', ') }}{% else -%}
SELECT toUnixTimestamp({{ bucket('Timestamp') }}) FROM otel_traces
        WHERE StoredAt >= {{ moment(since) }} AND StoredAt < {{ moment(upto) }} AND {{ between('') }}
{%- endif %}
{%- endset %}
{% set which -%}
{{ between('span.') }}
    AND toUnixTimestamp({{ bucket('span.Timestamp') }}) IN ({{ begins }}) AND {{ kept('span.') }}
{%- endset %}
{% set rows -%}
Time >= toDateTime({{ first }}) AND Time <= toDateTime({{ last }})
    AND (Project, Time) IN (SELECT span.Project, {{ bucket('span.Timestamp') }} FROM otel_traces AS span WHERE {{ which }})
{%- endset %}
{% include 'parts/insert_steps.sql' %}
