CREATE VIEW trace_times AS
SELECT Project, TraceId, Start, End
FROM otel_traces_trace_id_ts
UNION ALL
SELECT Project, TraceId, toDateTime(Timestamp) AS Start, toDateTime(Timestamp) AS End
FROM otel_traces
WHERE TraceId != '' AND StoredAt >= (SELECT max(ScannedTo) FROM rollup_passes WHERE Name = 'trace times') AND Timestamp >= (SELECT max(ScannedTo) FROM rollup_passes WHERE Name = 'trace times') - INTERVAL 1 DAY
COMMENT 'When each trace was, to this moment: several rows of one trace add up, by min(Start) and max(End)';
