{# Hours (Unix seconds of their begin) with rows of usage_10s from before it had StoredAt, Account and Tags, of those since
   `until` and those that gained usage since `since` (Unix milliseconds). #}
{% from 'parts/bucket.sql' import moment with context %}
SELECT DISTINCT toUnixTimestamp(toStartOfHour(Time, 'UTC')) AS Hour
FROM usage_10s
WHERE StoredAt = {{ moment(0) }}
    AND (
        Time >= toDateTime({{ until }})
        OR toStartOfHour(Time, 'UTC') IN (
            SELECT toStartOfHour(Time, 'UTC') FROM usage_10s
            WHERE Time < toDateTime({{ until }}) AND StoredAt >= {{ moment(since or 1) }}
        )
    )
