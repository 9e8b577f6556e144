-- Spans of the landing table as `decoded_spans` gives those of requests. A clock that is far ahead would make
-- partitions that never end: such spans are left out, as the doors do.
SELECT
    '' AS project,
    now64(3) AS ReceivedAt,
    ResourceAttributes AS ResourceMap,
    ScopeName AS scope_name,
    ScopeVersion,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    SpanName,
    SpanKind,
    StatusCode,
    StatusMessage,
    toUInt64(toUnixTimestamp64Nano(Timestamp)) AS started,
    Duration,
    CAST(mapKeys(SpanAttributes) AS Array(String)) AS keys,
    mapValues(SpanAttributes) AS vals,
    {codes} AS codes,
    CAST(`Events.Name` AS Array(String)) AS event_names,
    arrayMap(t -> toUInt64(toUnixTimestamp64Nano(t)), `Events.Timestamp`) AS event_times,
    arrayConcat(`Events.Attributes`, `Links.Attributes`) AS nested_maps,
    `Links.TraceId` AS link_traces,
    `Links.SpanId` AS link_spans,
    `Links.TraceState` AS link_states
FROM {source}
WHERE Timestamp < now() + INTERVAL 1 HOUR
