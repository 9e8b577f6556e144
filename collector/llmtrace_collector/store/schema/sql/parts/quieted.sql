{# Traces whose newest span was stored from `since` to `upto` (Unix milliseconds), with the first start and whether a
   root is there, of their spans stored from a minute before on. #}
{% from 'parts/bucket.sql' import moment with context %}
SELECT Project, TraceId, min(Timestamp) AS First, max(ParentSpanId = '') AS Rooted
FROM otel_traces
WHERE StoredAt >= {{ moment(since - 60000) }} AND TraceId != ''
GROUP BY Project, TraceId
HAVING max(StoredAt) >= {{ moment(since) }} AND max(StoredAt) < {{ moment(upto) }}
