{# Whether a trace is quiet: no span was stored since `rooted` (Unix milliseconds), or since `rootless` where it has no
   root. #}
{% from 'parts/bucket.sql' import moment with context %}
{% macro quiet() -%}
max(span.StoredAt) < if(HasRoot, {{ moment(rooted) }}, {{ moment(rootless) }})
{%- endmacro %}
