{# Decoded spans of one of the tables that requests go into: what both views of 0001_traces.sql build on. #}
{# Keys are reversed so that of a key sent twice the last comes first. Events' attributes and links' go through #}
{# one text, as does whatever can: the view is analysed anew for every insert. #}
SELECT
    project,
    ReceivedAt,
    ResourceMap,
    scope_name,
    {{ scope_version }} AS ScopeVersion,
    lower(hex(span.trace_id)) AS TraceId,
    lower(hex(span.span_id)) AS SpanId,
    lower(hex(span.parent_span_id)) AS ParentSpanId,
    {{ state }} AS TraceState,
    {{ span_name }} AS SpanName,
    transform(span.kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'], 'Unspecified') AS SpanKind,
    transform(span.status.code, [1, 2], ['Ok', 'Error'], 'Unset') AS StatusCode,
    {{ message }} AS StatusMessage,
    span.start_time_unix_nano AS started,
    if(span.end_time_unix_nano > started, span.end_time_unix_nano - started, 0) AS Duration,
    span.end_time_unix_nano < started AS EndBeforeStart,
    arrayReverse({{ keys }}) AS keys,
    arrayReverse({{ values }}) AS vals,
    {{ codes }} AS codes,
    {{ event_names }} AS event_names,
    span.events.time_unix_nano AS event_times,
    {{ nested_maps }} AS nested_maps,
    arrayMap(t -> lower(hex(t)), span.links.trace_id) AS link_traces,
    arrayMap(t -> lower(hex(t)), span.links.span_id) AS link_spans,
    {{ link_states }} AS link_states{{ more }}
FROM {{ open }}(
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
            {{ resource_map }} AS ResourceMap,
            arrayJoin(resource_span.scope_spans) AS scope_spans
        FROM (
            SELECT
                project,
                fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt,
                arrayJoin(request.resource_spans) AS resource_span
            FROM {{ source }}
        )
    )
){{ close }}
