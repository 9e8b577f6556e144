{# Traces whose newest span was stored from `since` to `upto` (Unix milliseconds), with the first start and whether a
   root is there, of their spans stored from `roots_since` on. Where `of_root` is false only those without a root are
   asked for: what has one in that time is left out before all that came since is looked through. #}
{% from 'parts/bucket.sql' import moment with context %}
SELECT Project, TraceId, min(Timestamp) AS First, max(ParentSpanId = '') AS Rooted
FROM otel_traces
WHERE StoredAt >= {{ moment(roots_since) }} AND TraceId != ''
{% if not of_root %}
    AND (Project, TraceId) IN (
        SELECT Project, TraceId
        FROM otel_traces
        WHERE StoredAt >= {{ moment(since) }} AND StoredAt < {{ moment(upto) }} AND TraceId != ''
        GROUP BY Project, TraceId
        HAVING NOT max(ParentSpanId = '')
    )
{% endif %}
GROUP BY Project, TraceId
HAVING max(StoredAt) >= {{ moment(since) }} AND max(StoredAt) < {{ moment(upto) }}
