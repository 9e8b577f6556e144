-- What detection found and what people did about it. Writes come through the collector's endpoints; each
-- change is a new version of the row and a line of history.

CREATE TABLE IF NOT EXISTS incident_versions (
    Project LowCardinality(String),
    IncidentId String,
    Fingerprint String,
    Kind LowCardinality(String),
    Rule LowCardinality(String),
    Severity LowCardinality(String),
    State LowCardinality(String),
    Title String,
    Summary String,
    Metric LowCardinality(String),
    Dimensions Map(LowCardinality(String), String),
    Observed Nullable(Float64),
    ExpectedLow Nullable(Float64),
    ExpectedHigh Nullable(Float64),
    Unit LowCardinality(String),
    OpenedAt DateTime64(3),
    UpdatedAt DateTime64(3),
    LastSeenAt DateTime64(3),
    AcknowledgedAt Nullable(DateTime64(3)),
    AcknowledgedBy String,
    ResolvedAt Nullable(DateTime64(3)),
    Evidence Array(String),
    Count UInt64,
    Version UInt64
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY (Project, IncidentId)
SETTINGS {durable};

CREATE OR REPLACE VIEW incidents AS SELECT * FROM incident_versions FINAL;

CREATE TABLE IF NOT EXISTS incident_history (
    Project LowCardinality(String),
    IncidentId String,
    At DateTime64(3),
    Action LowCardinality(String),
    Actor String,
    Note String
)
ENGINE = MergeTree
ORDER BY (Project, IncidentId, At)
SETTINGS {durable};

CREATE TABLE IF NOT EXISTS delivery_log (
    Project LowCardinality(String),
    DeliveryId String,
    IncidentId String,
    Event LowCardinality(String),
    At DateTime64(3),
    Url String,
    Attempt UInt32,
    StatusCode UInt16,
    Ok Bool,
    Error String,
    DurationMs Float64
)
ENGINE = ReplacingMergeTree
ORDER BY (Project, DeliveryId, Attempt)
SETTINGS {durable};

CREATE OR REPLACE VIEW webhook_deliveries AS SELECT * FROM delivery_log FINAL;
