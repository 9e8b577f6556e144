CREATE TABLE incident_history (
    Project LowCardinality(String) COMMENT 'Project of the incident',
    IncidentId String COMMENT 'Id of the incident',
    At DateTime64(3) COMMENT 'When it was done',
    Action LowCardinality(String) COMMENT 'What was done',
    Actor String COMMENT 'Who did it',
    Note String COMMENT 'What they say about it'
)
ENGINE = {{ engine('MergeTree') }}
ORDER BY (Project, IncidentId, At)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'What happened to each incident, line by line';
