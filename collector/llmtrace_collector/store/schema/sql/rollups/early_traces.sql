{# Of the traces that became quiet and whose root came lately those that have spans of before `first` (Unix
   milliseconds): it is looked for in the day before, since ids of traces are in no order of time. #}
{% from 'parts/bucket.sql' import moment with context %}
SELECT DISTINCT TraceId
FROM otel_traces_trace_id_ts
WHERE Start < {{ moment(first) }} AND Start >= {{ moment(first) }} - INTERVAL 1 DAY
    AND TraceId IN (
        SELECT TraceId FROM ({% include 'parts/quieted.sql' %}) WHERE Rooted AND First >= {{ moment(near) }}
    )
LIMIT {{ most }}
