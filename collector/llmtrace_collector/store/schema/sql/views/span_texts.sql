CREATE VIEW span_texts AS
SELECT
    Project, Timestamp, ServiceName, TraceId, SpanId, Operation, InputMessages, OutputMessages, SystemInstructions,
    ToolDefinitions, UserId, Purpose, Counted, PromptHash, StoredAt
FROM otel_traces
COMMENT 'What spans say of their messages: the one place where texts are read, wherever they are kept';
