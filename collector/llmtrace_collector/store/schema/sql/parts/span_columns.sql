{# The columns of otel_traces over decoded spans. `text(field)` says where a field's text stands, `attribute(key)` where
   an attribute's does; `counted` is what the sender says of counting, and `dropped` whether the key `entry.1` leaves
   the attributes. #}
{% macro _converted(field, text, attribute) -%}
{% set value = text(field) %}
{% if redaction.drop_content and field in name_fields %}
{% set value = 'llmtrace_name_only(' ~ value ~ ')' %}
{% endif %}
{% set arguments = [value] %}
{% for key in field.also %}{{ arguments.append(attribute(key)) or '' }}{% endfor %}
{% set value = 'llmtrace_' ~ field.convert ~ '(' ~ arguments | join(', ') ~ ')' if field.convert else value %}
{{ 'if(IsLlm, ' ~ value ~ ', ' ~ field.nothing ~ ')' if field.of_calls else value }}
{%- endmacro %}
{% macro span_columns(text, attribute, counted, dropped) %}
SELECT
    fromUnixTimestamp64Nano(toInt64(started)) AS Timestamp,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    SpanName,
    SpanKind,
    ResourceAttributes['service.name'] AS ServiceName,
    ResourceAttributes,
    ScopeName,
    ScopeVersion,
    CAST(
        arrayFilter(
            (entry, occurrence) -> occurrence = 1 AND NOT {{ dropped }}
{%- if redaction.drop_content %}
 AND NOT llmtrace_is_content(entry.1)
{%- endif %},
            arrayZip(keys, texts),
            arrayEnumerateUniq(keys)
        ),
        'Map(LowCardinality(String), String)'
    ) AS SpanAttributes,
    Duration,
    EndBeforeStart,
    StatusCode,
    StatusMessage,
    arrayMap(at -> fromUnixTimestamp64Nano(toInt64(at)), event_times) AS `Events.Timestamp`,
    event_names AS `Events.Name`,
    arraySlice(nested_maps, 1, length(event_names)) AS `Events.Attributes`,
    link_traces AS `Links.TraceId`,
    link_spans AS `Links.SpanId`,
    link_states AS `Links.TraceState`,
    arraySlice(nested_maps, length(event_names) + 1) AS `Links.Attributes`,
    multiIf(
        project != '', project,
        ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'],
        'default'
    ) AS Project,
    ReceivedAt,
    llmtrace_purpose(
        {{ attribute('llmtrace.purpose') }},
        ResourceAttributes['llmtrace.purpose'],
        ResourceAttributes['llmtrace.simulated']
    ) AS Purpose,
{% for field in fields %}
    {{ _converted(field, text, attribute) }} AS {{ field.name }},
{% endfor %}
{% for field in texts %}
    {{ "''" if redaction.drop_content else text(field) }} AS {{ field.name }},
{% endfor %}
    {{ counted }} AS counted_text,
{% for column in derived %}
    llmtrace_{{ column.function }}({{ column.of | join(', ') }}) AS {{ column.name }}{{ ',' if not loop.last }}
{% endfor %}
{% endmacro %}
