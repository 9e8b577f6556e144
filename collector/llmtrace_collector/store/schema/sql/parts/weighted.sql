{# A sum over spans, of which a sampled one counts as often as it stands for. It is a whole number, which becomes one of
   its column's type where it is inserted: the less a view says, the less an insert costs. #}
{% macro weighted(number) %}round(least(sum(Weight * ({{ number }})), 1e19)){% endmacro %}
{# A count of a span, 0 where nobody told. #}
{% macro told(count) -%}
{{ 'ifNull(span.' ~ count.name ~ ', 0)' if count.type.startswith('Nullable') else 'span.' ~ count.name }}
{%- endmacro %}
{% macro context_class(tokens) -%}
toUInt32(arrayMax(arrayFilter(bound -> bound < greatest(ifNull({{ tokens }}, 0), 1), [{{ context_bounds | join(', ') }}])))
{%- endmacro %}
