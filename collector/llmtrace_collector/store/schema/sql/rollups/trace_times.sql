{# When the traces were, of the spans that were stored from `since` to `upto` (Unix milliseconds). #}
{% from 'parts/bucket.sql' import moment with context %}
INSERT INTO otel_traces_trace_id_ts (TraceId, Project, Start, End)
SELECT TraceId, Project, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End
FROM otel_traces
WHERE StoredAt >= {{ moment(since) }} AND StoredAt < {{ moment(upto) }} AND TraceId != ''
GROUP BY TraceId, Project
