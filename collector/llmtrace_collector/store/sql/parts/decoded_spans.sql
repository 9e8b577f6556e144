-- Decoded spans of one of the tables that requests go into: what both views of 0001_traces.sql build on.
-- Keys are reversed so that of a key sent twice the last comes first.
SELECT
    project,
    ReceivedAt,
    ResourceMap,
    scope_name,
    ScopeVersion,
    lower(hex(span.trace_id)) AS TraceId,
    lower(hex(span.span_id)) AS SpanId,
    lower(hex(span.parent_span_id)) AS ParentSpanId,
    span.trace_state AS TraceState,
    span.name AS SpanName,
    transform(span.kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'], 'Unspecified') AS SpanKind,
    transform(span.status.code, [1, 2], ['Ok', 'Error'], 'Unset') AS StatusCode,
    span.status.message AS StatusMessage,
    span.start_time_unix_nano AS started,
    if(span.end_time_unix_nano > started, span.end_time_unix_nano - started, 0) AS Duration,
    arrayReverse(span.attributes.key) AS keys,
    arrayReverse(arrayMap(v -> {any_value}, span.attributes.value)) AS vals,
    {codes} AS codes,
    arrayMap(e -> e.name, span.events) AS event_names,
    arrayMap(e -> e.time_unix_nano, span.events) AS event_times,
    arrayMap(e -> {nested_map}, span.events) AS event_maps,
    arrayMap(e -> lower(hex(e.trace_id)), span.links) AS link_traces,
    arrayMap(e -> lower(hex(e.span_id)), span.links) AS link_spans,
    arrayMap(e -> e.trace_state, span.links) AS link_states,
    arrayMap(e -> {nested_map}, span.links) AS link_maps
FROM (
    SELECT
        project,
        ReceivedAt,
        ResourceMap,
        scope_spans.scope.name AS scope_name,
        scope_spans.scope.version AS ScopeVersion,
        arrayJoin(scope_spans.spans) AS span
    FROM (
        SELECT
            project,
            ReceivedAt,
            {resource_map} AS ResourceMap,
            arrayJoin(resource_span.scope_spans) AS scope_spans
        FROM (
            SELECT
                project,
                fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt,
                arrayJoin(request.resource_spans) AS resource_span
            FROM {source}
        )
    )
)
