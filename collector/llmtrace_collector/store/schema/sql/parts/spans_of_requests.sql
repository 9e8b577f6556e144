{# Spans of one of the tables that requests go into, decoded; `nested`: with their events and links. Lists of attributes have the last sent first, so that of a
   key that was sent twice the last is found. A tuple is taken apart once, by untuple: the engine finds `span.name` only
   after it has tried every column, at every insert. #}
{% from 'parts/attributes.sql' import of_otlp with context %}
SELECT
    project,
    ReceivedAt,
    ResourceAttributes,
    scope_name,
    scope_name AS ScopeName,
    ScopeVersion,
    lower(hex(`span.trace_id`)) AS TraceId,
    lower(hex(`span.span_id`)) AS SpanId,
    lower(hex(`span.parent_span_id`)) AS ParentSpanId,
    `span.trace_state` AS TraceState,
    `span.name` AS SpanName,
    transform(
        `span.kind`,
        [1, 2, 3, 4, 5],
        ['Internal', 'Server', 'Client', 'Producer', 'Consumer'],
        'Unspecified'
    ) AS SpanKind,
    transform(tupleElement(`span.status`, 'code'), [1, 2], ['Ok', 'Error'], 'Unset') AS StatusCode,
    tupleElement(`span.status`, 'message') AS StatusMessage,
    `span.start_time_unix_nano` AS started,
    if(`span.end_time_unix_nano` > started, `span.end_time_unix_nano` - started, 0) AS Duration,
    `span.end_time_unix_nano` < started AS EndBeforeStart,
    arrayReverse(tupleElement(`span.attributes`, 'key')) AS keys,
{% if redaction.replaces %}
    arrayReverse(tupleElement(`span.attributes`, 'value')) AS values,
    llmtrace_searched_texts(values) AS texts,
{% else %}
    arrayReverse(llmtrace_value_texts(tupleElement(`span.attributes`, 'value'))) AS texts,
{% endif %}
{% if nested %}
    tupleElement(`span.events`, 'name') AS event_names,
    tupleElement(`span.events`, 'time_unix_nano') AS event_times,
    {# Events' attributes and links' go through one text. #}
    arrayMap(
{% if redaction.drop_content %}
        (nested, event) -> {{ of_otlp('nested', 'event') }},
{% else %}
        nested -> {{ of_otlp('nested') }},
{% endif %}
        arrayConcat(tupleElement(`span.events`, 'attributes'), tupleElement(`span.links`, 'attributes'))
{% if redaction.drop_content %}
        , arrayConcat(event_names, arrayMap(link -> '', link_states))
{% endif %}
    ) AS nested_maps,
    arrayMap(id -> lower(hex(id)), tupleElement(`span.links`, 'trace_id')) AS link_traces,
    arrayMap(id -> lower(hex(id)), tupleElement(`span.links`, 'span_id')) AS link_spans,
    tupleElement(`span.links`, 'trace_state') AS link_states
{% else %}
    emptyArrayString() AS event_names,
    emptyArrayString() AS link_states
{% endif %}
FROM (
    SELECT
        project,
        ReceivedAt,
        ResourceAttributes,
        tupleElement(tupleElement(scope_spans, 'scope'), 'name') AS scope_name,
        tupleElement(tupleElement(scope_spans, 'scope'), 'version') AS ScopeVersion,
        untuple(arrayJoin(tupleElement(scope_spans, 'spans'))) AS span
    FROM (
        SELECT
            project,
            ReceivedAt,
            {{ of_otlp("tupleElement(tupleElement(resource_spans, 'resource'), 'attributes')") }} AS ResourceAttributes,
            arrayJoin(tupleElement(resource_spans, 'scope_spans')) AS scope_spans
        FROM (
            SELECT
                project,
                fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt,
                arrayJoin(tupleElement(request, 'resource_spans')) AS resource_spans
            FROM {{ source }}
        )
    )
)
