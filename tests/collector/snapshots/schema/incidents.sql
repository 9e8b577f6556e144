CREATE VIEW incidents AS
SELECT * FROM incident_versions FINAL
COMMENT 'Incidents as they are now: the newest version of each';
