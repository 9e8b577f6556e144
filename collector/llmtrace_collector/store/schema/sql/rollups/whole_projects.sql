{# Projects with spans from `first` to `end` (Unix seconds) that have all spans since `begin`, as JSON. #}
SELECT Project
FROM otel_traces
WHERE Timestamp >= toDateTime({{ first }}) AND Timestamp < toDateTime64({{ end }}, 9)
GROUP BY Project
HAVING toDateTime({{ begin }}) > now() - toIntervalDay(min(RetentionDays))
FORMAT JSONCompactEachRow
