{# A sum over spans, of which a sampled one counts as often as it stands for. It is a whole number, which becomes one of
   its column's type where it is inserted: the less a view says, the less an insert costs. #}
{% macro weighted(number) %}round(least(sum(Weight * ({{ number }})), 1e19)){% endmacro %}
{# A count of a span, no more than what it is a part of. #}
{% macro within(count) -%}{{ contained[count.name] }}{%- endmacro %}
{# Whether nobody told anything that is billed; what a cache answered is billed nothing. #}
{% macro unknown_usage() -%}
multiIf(
    span.InputTokens IS NOT NULL, false,
    span.OutputTokens IS NOT NULL, false,
    span.ServiceTier = {{ response_cache | literal }}, false,
    span.Operation IN ({{ free_operations | literals }}), false,
{%- for count in alone %}
    span.{{ count.name }} = 0{{ ' AND' if not loop.last }}
{%- endfor %}

)
{%- endmacro %}
{# Minutes since midnight, UTC, of the last of the bounds at which prices change. #}
{% macro day_class(time) -%}
toUInt16(roundDown(intDiv(toUInt32(toUnixTimestamp({{ time }})) % 86400, 60), [{{ day_bounds | join(', ') }}]))
{%- endmacro %}
{# The last of the bounds that a call's input exceeds. #}
{% macro context_class(tokens) -%}
toUInt32(roundDown(greatest(ifNull({{ tokens }}, 0), 1) - 1, [{{ context_bounds | join(', ') }}]))
{%- endmacro %}
