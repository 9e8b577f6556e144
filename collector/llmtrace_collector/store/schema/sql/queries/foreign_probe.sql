{# Whether a segment holds foreign spans: {file} and {schema} stand for quoted texts. #}
SELECT count()
FROM (
    SELECT 1
    FROM file({file}, 'Protobuf', '
        request Tuple(resource_spans Array(Tuple(scope_spans Array(Tuple(
            scope Tuple(name String),
            spans Array(Tuple(attributes Array(Tuple(key String))))
        )))))
    ')
    WHERE arrayExists(
        key -> key IN ({{ foreign_keys | literals }}),
        arrayFlatten(request.resource_spans.scope_spans.spans.attributes.key)
    ) OR hasAny(
        arrayFlatten(request.resource_spans.scope_spans.scope.name),
        [{{ foreign_scopes | literals }}]
    )
    LIMIT 1
)
SETTINGS format_schema = {schema}
