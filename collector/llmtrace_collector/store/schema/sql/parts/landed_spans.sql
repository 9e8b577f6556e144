{# Spans of the landing table as `decoded_spans` gives those of requests. A clock that is far ahead would make #}
{# partitions that never end: such spans are left out, as the doors do. #}
SELECT
    '' AS project,
    now64(3) AS ReceivedAt,
    {{ resource_map }} AS ResourceMap,
    ScopeName AS scope_name,
    {{ scope_version }} AS ScopeVersion,
    TraceId,
    SpanId,
    ParentSpanId,
    {{ state }} AS TraceState,
    {{ span_name }} AS SpanName,
    SpanKind,
    StatusCode,
    {{ message }} AS StatusMessage,
    toUInt64(toUnixTimestamp64Nano(Timestamp)) AS started,
    Duration,
    false AS EndBeforeStart,
    {{ keys }} AS keys,
    {{ values }} AS vals,
    {{ codes }} AS codes,
    {{ event_names }} AS event_names,
    arrayMap(t -> toUInt64(toUnixTimestamp64Nano(t)), `Events.Timestamp`) AS event_times,
    {{ nested_maps }} AS nested_maps,
    `Links.TraceId` AS link_traces,
    `Links.SpanId` AS link_spans,
    {{ link_states }} AS link_states{{ more }}
FROM {{ open }}{{ source }}{{ close }}
WHERE Timestamp < now() + INTERVAL 1 HOUR
