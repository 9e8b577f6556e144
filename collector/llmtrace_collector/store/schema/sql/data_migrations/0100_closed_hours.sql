-- Hours that were counted at an insert are closed: usage_hour_closed has them with accounts and tags, which the rows
-- of usage_10s from before do not know. The hour that is not over has both: what comes is added to what was there.
INSERT INTO rollup_passes (Name, ScannedTo, Until)
SELECT 'usage_hour', now64(3), toStartOfHour(now(), 'UTC') + INTERVAL 1 HOUR
FROM (SELECT 1 FROM usage_hour_closed LIMIT 1);
