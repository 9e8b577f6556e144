{# Spans that were stored since the task came to the table's end are not in it yet: they are read themselves, those of
   the last day; parts of other days are not looked into. #}
{% set edge %}(SELECT max(ScannedTo) FROM rollup_passes WHERE Name = 'trace times'){% endset %}
CREATE VIEW trace_times AS
SELECT Project, TraceId, Start, End
FROM otel_traces_trace_id_ts
UNION ALL
SELECT Project, TraceId, toDateTime(Timestamp) AS Start, toDateTime(Timestamp) AS End
FROM otel_traces
WHERE TraceId != '' AND StoredAt >= {{ edge }} AND Timestamp >= {{ edge }} - INTERVAL 1 DAY
COMMENT 'When each trace was, to this moment: several rows of one trace add up, by min(Start) and max(End)';
