{# A sum over spans, of which a sampled one counts as often as it stands for. #}
{% macro weighted(number) %}toUInt64(round(least(sum(Weight * ({{ number }})), 1e19))){% endmacro %}
{% macro context_class(tokens) -%}
toUInt32(arrayMax(arrayFilter(bound -> bound < greatest(ifNull({{ tokens }}, 0), 1), [{{ context_bounds | join(', ') }}])))
{%- endmacro %}
