{# The ten seconds (Unix seconds of their begin) that gained spans stored from `since` to `upto` (Unix milliseconds). #}
{% from 'parts/bucket.sql' import bucket, moment, kept with context %}
SELECT DISTINCT toUnixTimestamp({{ bucket('Timestamp') }}) AS Bucket
FROM otel_traces
WHERE StoredAt >= {{ moment(since) }} AND StoredAt < {{ moment(upto) }} AND {{ kept('') }}
ORDER BY Bucket
