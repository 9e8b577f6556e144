-- Hours that were counted at an insert are closed: usage_hour_closed has them with accounts and tags, which the rows
-- of usage_10s from before do not know.
INSERT INTO rollup_passes (Name, ScannedTo, Until) SELECT 'usage_hour', now64(3), toStartOfHour(now());
