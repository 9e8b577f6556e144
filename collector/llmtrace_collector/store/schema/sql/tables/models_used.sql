CREATE TABLE models_used (
    Project LowCardinality(String) COMMENT 'Project of the calls',
    Provider LowCardinality(String) COMMENT 'Provider that was called',
    Model LowCardinality(String) COMMENT 'Model that was asked for',
    ResponseModel LowCardinality(String) COMMENT 'Model that answered'
)
ENGINE = {{ engine('ReplacingMergeTree') }}
ORDER BY (Project, Provider, Model, ResponseModel)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Models that each project has called, whose prices it may read; noted by the pass that prices them';
