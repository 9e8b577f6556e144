CREATE VIEW sdk_processes AS
SELECT
    Project,
    ServiceName,
    Instance,
    any(Host) AS Host,
    any(ProcessId) AS ProcessId,
    minIf(Timestamp, NOT Relayed) AS FirstReport,
    maxIf(Timestamp, NOT Relayed) AS LastReport,
    max(Timestamp) AS LastHeard,
    max(Generated) AS Generated,
    max(Sent) AS Sent,
    argMax(Spooled, Timestamp) AS Spooled,
    max(Dropped) AS Dropped,
    max(Lost) AS Lost,
    multiIf(
        max(Killed), 'killed',
        max(Ended), 'ended',
        LastHeard < now() - INTERVAL 11 MINUTE, 'silent',
        'running'
    ) AS State
FROM sdk_reports
WHERE Timestamp >= now() - INTERVAL 7 DAY
GROUP BY Project, ServiceName, Instance
COMMENT 'Processes of SDKs in the last 7 days: what each counted, when it reported last, whether it said goodbye';
