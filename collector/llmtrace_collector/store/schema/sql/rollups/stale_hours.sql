{# Parts of hours (Unix seconds of the begin, LateAt in Unix milliseconds) that are to be closed: of hours before `ended`
   those since `until`, and of closed ones what gained usage since `since` (Unix milliseconds); and whether it did. #}
{% from 'parts/bucket.sql' import moment with context %}
SELECT
    toUnixTimestamp(toStartOfHour(Time, 'UTC')) AS Hour, toUnixTimestamp64Milli(LateAt) AS Late,
    max(StoredAt) >= {{ moment(since) }} AS Gained
FROM usage_10s
WHERE Time < toDateTime({{ [ended, until] | max }})
    AND (Time >= toDateTime({{ until }}) OR StoredAt >= {{ moment(since) }})
GROUP BY Hour, Late
ORDER BY Hour, Late
