{# Steps of the `buckets`, ten seconds each (Unix seconds of their begin, in order). Where `whole` is false, spans of some
   projects are gone: rows of these are left as they are. #}
{% from 'parts/bucket.sql' import bucket, kept with context %}
{% set begins = buckets | join(', ') %}
{% set which -%}
span.Timestamp >= toDateTime({{ buckets | first }}) AND span.Timestamp < toDateTime64({{ (buckets | last) + 10 }}, 9)
    AND toUnixTimestamp({{ bucket('span.Timestamp') }}) IN ({{ begins }}) AND {{ kept('span.') }}
{%- endset %}
{% set rows -%}
Time >= toDateTime({{ buckets | first }}) AND Time <= toDateTime({{ buckets | last }})
    AND toUnixTimestamp(Time) IN ({{ begins }})
{%- if not whole %} AND Project IN (SELECT DISTINCT Project FROM otel_traces AS span WHERE {{ which }}){% endif %}

{%- endset %}
{% include 'parts/insert_steps.sql' %}
