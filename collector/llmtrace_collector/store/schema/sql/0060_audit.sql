-- The audit of other services beside the collector's own. `Origin` is the service in which it was done, `Actor` who
-- did it there, `KeyId` the key that the row came with. A row is written before the action; one that failed has a
-- second row of the same `Id`, whose `Outcome` says why.

ALTER TABLE audit_log
    ADD COLUMN IF NOT EXISTS Id UUID,
    ADD COLUMN IF NOT EXISTS Origin LowCardinality(String) DEFAULT 'collector',
    ADD COLUMN IF NOT EXISTS Actor String DEFAULT KeyId,
    ADD COLUMN IF NOT EXISTS Outcome String;
