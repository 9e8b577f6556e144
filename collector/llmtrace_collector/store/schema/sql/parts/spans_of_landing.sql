{# Spans of the landing table as spans_of_requests.sql gives those of requests. A clock that is far ahead would make
   partitions that never end: such spans are left out, as the endpoints do. #}
{% from 'parts/attributes.sql' import of_map with context %}
SELECT
    '' AS project,
    now64(3) AS ReceivedAt,
    {{ of_map('landed.ResourceAttributes') }} AS ResourceAttributes,
    landed.ScopeName AS scope_name,
    scope_name AS ScopeName,
    ScopeVersion,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    CAST(landed.SpanName AS String) AS SpanName,
    SpanKind,
    StatusCode,
    StatusMessage,
    toUInt64(toUnixTimestamp64Nano(Timestamp)) AS started,
    Duration,
    false AS EndBeforeStart,
    CAST(mapKeys(SpanAttributes) AS Array(String)) AS keys,
    mapValues(SpanAttributes) AS texts,
    CAST(`Events.Name` AS Array(String)) AS event_names,
    arrayMap(at -> toUInt64(toUnixTimestamp64Nano(at)), `Events.Timestamp`) AS event_times,
{% if not redaction.on %}
    arrayConcat(`Events.Attributes`, `Links.Attributes`) AS nested_maps,
{% elif redaction.drop_content %}
    arrayMap(
        (nested, event) -> {{ of_map('nested', 'event') }},
        arrayConcat(`Events.Attributes`, `Links.Attributes`),
        arrayConcat(event_names, arrayMap(link -> '', `Links.TraceState`))
    ) AS nested_maps,
{% else %}
    arrayMap(nested -> {{ of_map('nested') }}, arrayConcat(`Events.Attributes`, `Links.Attributes`)) AS nested_maps,
{% endif %}
    `Links.TraceId` AS link_traces,
    `Links.SpanId` AS link_spans,
    `Links.TraceState` AS link_states
FROM {{ source }} AS landed
WHERE Timestamp < now() + INTERVAL 1 HOUR
