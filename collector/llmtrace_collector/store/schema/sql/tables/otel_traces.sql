CREATE TABLE otel_traces (
{% with codecs = true %}{% include 'parts/exporter_columns.sql' %}{% endwith %},

    Project LowCardinality(String)
        DEFAULT if(ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'], 'default')
        COMMENT 'Project whose data this is: that of the key, else of the resource',
    ReceivedAt DateTime64(3) DEFAULT now64(3) COMMENT 'When the collector received it' CODEC(T64, ZSTD(1)),
    RetentionDays UInt16 DEFAULT {{ retention_days }} COMMENT 'Days that the row is kept',
    StoredAt DateTime64(3) DEFAULT now64(3) COMMENT 'When the row was stored' CODEC(Delta(8), ZSTD(1)),
    Purpose LowCardinality(String)
        DEFAULT multiIf(
            SpanAttributes['llmtrace.purpose'] IN ({{ purposes | literals }}), SpanAttributes['llmtrace.purpose'],
            ResourceAttributes['llmtrace.purpose'] IN ({{ purposes | literals }}), ResourceAttributes['llmtrace.purpose'],
            ResourceAttributes['llmtrace.simulated'] = 'true', 'simulated',
            'product'
        )
        COMMENT 'What the call was for: product, simulated, bench, replay, evaluation, judge or playground'
        CODEC(ZSTD(1)),
    Simulated Bool ALIAS Purpose = 'simulated' COMMENT 'Whether no model was asked; Purpose says more',
    EndBeforeStart Bool DEFAULT false COMMENT 'The span said that it ended before it began: Duration is 0',
{% for column in span_columns %}
    {{ column.name }} {{ column.type }}
{%- if column.default %} DEFAULT {{ column.default }}{% endif %} COMMENT {{ column.comment | literal }}
{%- if column.codec %} CODEC({{ column.codec }}){% endif %},
{% endfor %}
    PromptHash UInt64
        DEFAULT if(InputMessages = '', 0, cityHash64(Model, InputMessages, SystemInstructions, ToolDefinitions))
        COMMENT 'Hash of model, messages, instructions and tools: equal for equal requests; 0 without messages',

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
