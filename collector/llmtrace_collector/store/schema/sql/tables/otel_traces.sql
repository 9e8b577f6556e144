{# DEFAULTs read attributes as they are stored: they are for rows that were written before a column was there. #}
{% from 'parts/converted.sql' import converted, first_text with context %}
{% macro attribute(key) %}SpanAttributes[{{ key | literal }}]{% endmacro %}
{% macro text(field) %}{{ first_text(field.conventional, attribute) }}{% endmacro %}
CREATE TABLE otel_traces (
{% with codecs = true %}{% include 'parts/exporter_columns.sql' %}{% endwith %},

    Project LowCardinality(String)
        DEFAULT if(ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'], 'default')
        COMMENT 'Project whose data this is: that of the key, else of the resource',
    ReceivedAt DateTime64(3) DEFAULT now64(3) COMMENT 'When the collector received it' CODEC(T64, ZSTD(1)),
    RetentionDays UInt16 DEFAULT {{ retention_days }} COMMENT 'Days that the row is kept',
    StoredAt DateTime64(3) DEFAULT now64(3) COMMENT 'When the row was stored' CODEC(Delta(8), ZSTD(1)),
    Simulated Bool ALIAS Purpose = 'simulated' COMMENT 'Whether no model was asked; Purpose says more',
    EndBeforeStart Bool DEFAULT false COMMENT 'The span said that it ended before it began: Duration is 0',
{% for field in fields %}
    {{ field.name }} {{ field.type }}
        DEFAULT {{ converted(field, text, attribute) }}
        COMMENT {{ field.comment | literal }}
{%- if field.codec %} CODEC({{ field.codec }}){% endif %},
{% endfor %}
{% for field in texts %}
    {{ field.name }} {{ field.type }} COMMENT {{ field.comment | literal }} CODEC({{ field.codec }}),
{% endfor %}
{% for column in derived %}
    {{ column.name }} {{ column.type }}
        DEFAULT {{
            column.default
            or 'llmtrace_' ~ column.function ~ '(' ~ column.of | join(', ') | replace(sender_counts, attribute(counted_key)) ~ ')'
        }}
        COMMENT {{ column.comment | literal }}
{%- if column.codec %} CODEC({{ column.codec }}){% endif %},
{% endfor %}

    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_response_id ResponseId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attribute_values mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_user UserId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_session SessionId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_stored_at StoredAt TYPE minmax GRANULARITY 1
)
ENGINE = {{ engine('MergeTree') }}
PARTITION BY (RetentionDays, toDate(Timestamp))
ORDER BY (Project, toStartOfMinute(Timestamp), ServiceName, SpanName, Timestamp)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS {% include 'parts/durable.sql' %}, ttl_only_drop_parts = 1, index_granularity = 2048
COMMENT 'Spans: the columns of the OpenTelemetry Collector''s ClickHouse exporter, then ours';
