{# Hours (Unix seconds of their begin) before `ended` that are to be closed: those since `until`, and closed ones that
   gained usage since `since` (Unix milliseconds); and whether they did. #}
{% from 'parts/bucket.sql' import moment with context %}
SELECT toUnixTimestamp(toStartOfHour(Time, 'UTC')) AS Hour, max(StoredAt) >= {{ moment(since) }} AS Gained
FROM usage_10s
WHERE Time < toDateTime({{ ended }}) AND (Time >= toDateTime({{ until }}) OR StoredAt >= {{ moment(since) }})
GROUP BY Hour
ORDER BY Hour
