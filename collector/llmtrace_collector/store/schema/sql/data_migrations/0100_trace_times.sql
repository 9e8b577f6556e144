-- What was stored before the upgrade is in otel_traces_trace_id_ts since it was inserted. Others may have gone on
-- inserting: what they stored is looked through again, and its rows may be there twice.
INSERT INTO rollup_passes (Name, ScannedTo)
SELECT 'trace times', min(At) - INTERVAL 10 MINUTE
FROM store_versions
WHERE (SELECT count() > 0 FROM (SELECT 1 FROM otel_traces_trace_id_ts LIMIT 1));
