CREATE VIEW steps AS
SELECT
    Project, Time, ServiceName, StepKind, StepName, Agent, AgentVersion, Status, Purpose, Steps,
    if(Status = 'error', Steps, 0) AS Errors, Spans, DurationSum, DurationMin, DurationMax, DurationDigest
FROM steps_10s FINAL
COMMENT 'Steps of any kind in buckets of ten seconds: how many, how they ended and how long they took; ten seconds behind the spans';
