{# The ten seconds (Unix seconds of their begin) that gained spans stored from `since` to `upto` (Unix milliseconds), and
   how many. #}
{% from 'parts/bucket.sql' import bucket, moment, kept with context %}
SELECT toUnixTimestamp({{ bucket('Timestamp') }}) AS Bucket, count() AS Gained
FROM otel_traces
WHERE StoredAt >= {{ moment(since) }} AND StoredAt < {{ moment(upto) }} AND {{ kept('') }}
GROUP BY Bucket
ORDER BY Bucket
