{# The columns of otel_traces over decoded spans. `text(field)` says where a field's text stands, `attribute(key)` where
   an attribute's does, and `dropped` says whether the key `entry.1` leaves the attributes. #}
{% from 'parts/converted.sql' import converted with context %}
{% macro span_columns(text, attribute, dropped) %}
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
{% if nested %}
    arrayMap(at -> fromUnixTimestamp64Nano(toInt64(at)), event_times) AS `Events.Timestamp`,
    event_names AS `Events.Name`,
    arraySlice(nested_maps, 1, length(event_names)) AS `Events.Attributes`,
    link_traces AS `Links.TraceId`,
    link_spans AS `Links.SpanId`,
    link_states AS `Links.TraceState`,
    arraySlice(nested_maps, length(event_names) + 1) AS `Links.Attributes`,
{% endif %}
    multiIf(
        project != '', project,
        ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'],
        'default'
    ) AS Project,
    ReceivedAt,
{% for field in fields %}
    {{ converted(field, text, attribute) }} AS {{ field.name }},
{% endfor %}
{% for field in texts %}
    {{ "''" if redaction.drop_content else text(field) }} AS {{ field.name }},
{% endfor %}
{% for column in derived %}
    llmtrace_{{ column.function }}({{ column.of | join(', ') }}) AS {{ column.name }}{{ ',' if not loop.last }}
{% endfor %}
{% endmacro %}
