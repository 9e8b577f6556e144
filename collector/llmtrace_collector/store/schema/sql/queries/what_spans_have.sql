{# What spans of a segment have: 2 where one speaks another dialect, else 1 where one has events or links, else 0.
   {file} and {schema} stand for quoted texts. Only names, keys and times are read, a few percent of an insert. #}
SELECT max(multiIf(
    arrayExists(
        key -> key IN ({{ foreign_keys | literals }}),
        arrayFlatten(request.resource_spans.scope_spans.spans.attributes.key)
    ) OR hasAny(
        arrayFlatten(request.resource_spans.scope_spans.scope.name),
        [{{ foreign_scopes | literals }}]
    ), 2,
    notEmpty(arrayFlatten(request.resource_spans.scope_spans.spans.events.time_unix_nano))
        OR notEmpty(arrayFlatten(request.resource_spans.scope_spans.spans.links.trace_id)), 1,
    0
))
FROM file({file}, 'Protobuf', '
    request Tuple(resource_spans Array(Tuple(scope_spans Array(Tuple(
        scope Tuple(name String),
        spans Array(Tuple(
            attributes Array(Tuple(key String)),
            events Array(Tuple(time_unix_nano UInt64)),
            links Array(Tuple(trace_id String))
        ))
    )))))
')
SETTINGS format_schema = {schema}
