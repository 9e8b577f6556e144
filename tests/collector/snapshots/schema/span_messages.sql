CREATE VIEW span_messages AS
SELECT
    Project,
    TraceId,
    SpanId,
    multiIf(
        position(own_InputMessages, '"parts"') > 0, own_InputMessages,
        match(conversation[1], '"parts":\\[[^\\]]'), conversation[1],
        ''
    ) AS InputMessages,
    multiIf(
        position(own_OutputMessages, '"parts"') > 0, own_OutputMessages,
        match(conversation[2], '"parts":\\[[^\\]]'), conversation[2],
        ''
    ) AS OutputMessages,
    own_SystemInstructions AS SystemInstructions,
    own_ToolDefinitions AS ToolDefinitions
FROM (
    SELECT
        *,
        llmtrace_messages(
            [
                if(
                    own_InputMessages != '',
                    own_InputMessages,
                    llmtrace_input_messages_of_events(event_names, event_attributes)
                ),
                if(
                    own_OutputMessages != '',
                    own_OutputMessages,
                    llmtrace_output_messages_of_events(event_names, event_attributes)
                )
            ],
            ['user', 'assistant']
        ) AS conversation
    FROM (
        SELECT
            *,
            arrayMap(record -> record.2, records) AS event_names,
            arrayMap(record -> record.3, records) AS event_attributes
        FROM (
            SELECT
                Project,
                TraceId,
                SpanId,
                arraySort(record -> record.1, groupArray((
                    Timestamp,
                    Event,
                    if(
                        Body = '',
                        LogAttributes,
                        mapUpdate(
                            LogAttributes,
                            map(llmtrace_event_key(Event), llmtrace_event_body(Event, Body))
                        )
                    )
                ))) AS records,
                argMaxIf(
                    LogAttributes['gen_ai.input.messages'],
                    Timestamp,
                    LogAttributes['gen_ai.input.messages'] != ''
                ) AS own_InputMessages,
                argMaxIf(
                    LogAttributes['gen_ai.output.messages'],
                    Timestamp,
                    LogAttributes['gen_ai.output.messages'] != ''
                ) AS own_OutputMessages,
                argMaxIf(
                    LogAttributes['gen_ai.system_instructions'],
                    Timestamp,
                    LogAttributes['gen_ai.system_instructions'] != ''
                ) AS own_SystemInstructions,
                argMaxIf(
                    LogAttributes['gen_ai.tool.definitions'],
                    Timestamp,
                    LogAttributes['gen_ai.tool.definitions'] != ''
                ) AS own_ToolDefinitions
            FROM (
                SELECT *, if(EventName != '', EventName, LogAttributes['event.name']) AS Event
                FROM otel_logs
                WHERE SpanId != '' AND Event IN (
                    'gen_ai.client.inference.operation.details', 'gen_ai.content.prompt', 'gen_ai.system.message', 'gen_ai.user.message', 'gen_ai.assistant.message',
'gen_ai.tool.message', 'gen_ai.content.completion', 'gen_ai.choice'
                )
            )
            GROUP BY Project, TraceId, SpanId
        )
    )
)
COMMENT 'What log records say that a span''s messages were: joined when read, so that either may come first';
