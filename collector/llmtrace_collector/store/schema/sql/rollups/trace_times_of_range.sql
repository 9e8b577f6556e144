{# When the traces were of which the table does not know all the spans that started from `begin` to `end` (Unix
   seconds). #}
INSERT INTO otel_traces_trace_id_ts (TraceId, Project, Start, End)
SELECT TraceId, Project, minIf(First, NOT Known) AS Start, maxIf(Last, NOT Known) AS End
FROM (
    SELECT Project, TraceId, toDateTime(Timestamp) AS First, First AS Last, false AS Known
    FROM otel_traces
    WHERE Timestamp >= toDateTime({{ begin }}) AND Timestamp < toDateTime64({{ end }}, 9) AND TraceId != ''
    UNION ALL
    SELECT Project, TraceId, Start AS First, End AS Last, true AS Known
    FROM otel_traces_trace_id_ts
    WHERE Start < toDateTime({{ end }}) AND End >= toDateTime({{ begin }})
)
GROUP BY TraceId, Project
HAVING countIf(NOT Known) > 0
    AND (countIf(Known) = 0 OR Start < minIf(First, Known) OR End > maxIf(Last, Known))
