CREATE TABLE incident_versions (
    Project LowCardinality(String) COMMENT 'Project of the incident',
    IncidentId String COMMENT 'Id of the incident',
    Fingerprint String COMMENT 'What makes two findings the same incident',
    Kind LowCardinality(String) COMMENT 'What kind of finding it is',
    Rule LowCardinality(String) COMMENT 'Rule that found it',
    Severity LowCardinality(String) COMMENT 'How severe it is',
    State LowCardinality(String) COMMENT 'open, acknowledged or resolved',
    Title String COMMENT 'What happened, in a line',
    Summary String COMMENT 'What happened, in a paragraph',
    Metric LowCardinality(String) COMMENT 'What was measured',
    Dimensions Map(LowCardinality(String), String) COMMENT 'Where: model, service and their like',
    Observed Nullable(Float64) COMMENT 'What was seen, in Unit',
    ExpectedLow Nullable(Float64) COMMENT 'Least that was expected, in Unit',
    ExpectedHigh Nullable(Float64) COMMENT 'Most that was expected, in Unit',
    Unit LowCardinality(String) COMMENT 'Unit of the three',
    OpenedAt DateTime64(3) COMMENT 'When it was opened',
    UpdatedAt DateTime64(3) COMMENT 'When this version was written',
    LastSeenAt DateTime64(3) COMMENT 'When it was last seen',
    AcknowledgedAt Nullable(DateTime64(3)) COMMENT 'When somebody took it on',
    AcknowledgedBy String COMMENT 'Who did',
    ResolvedAt Nullable(DateTime64(3)) COMMENT 'When it was over',
    Evidence Array(String) COMMENT 'Traces that show it',
    Count UInt64 COMMENT 'Findings so far',
    Label LowCardinality(String) COMMENT 'What somebody thinks of it: useful, noise, or empty',
    LabelledAt Nullable(DateTime64(3)) COMMENT 'When they said so',
    LabelledBy String COMMENT 'Who did',
    Version UInt64 COMMENT 'The greatest of an incident holds'
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY (Project, IncidentId)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8
COMMENT 'Incidents; each change is a new version of the row. The view incidents has the newest of each';
