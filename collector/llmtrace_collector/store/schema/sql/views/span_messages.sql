CREATE VIEW span_messages AS
SELECT
    Project,
    TraceId,
    SpanId,
{% for column in event_messages %}
    -- Emitters that may not tell content send the messages without it.
    multiIf(
        position(own_{{ column }}, '"parts"') > 0, own_{{ column }},
        match(conversation[{{ loop.index }}], '"parts":\\[[^\\]]'), conversation[{{ loop.index }}],
        ''
    ) AS {{ column }},
{% endfor %}
    own_SystemInstructions AS SystemInstructions,
    own_ToolDefinitions AS ToolDefinitions
FROM (
    SELECT
        *,
        llmtrace_messages(
            [
{% for column in event_messages %}
                if(
                    own_{{ column }} != '',
                    own_{{ column }},
                    llmtrace_{{ column | snake }}_of_events(event_names, event_attributes)
                ){{ ',' if not loop.last }}
{% endfor %}
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
                -- The order on the wire is not that of the conversation.
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
{% for text in texts %}
                argMaxIf(
                    LogAttributes[{{ text.keys[0] | literal }}],
                    Timestamp,
                    LogAttributes[{{ text.keys[0] | literal }}] != ''
                ) AS own_{{ text.name }}{{ ',' if not loop.last }}
{% endfor %}
            FROM (
                SELECT *, if(EventName != '', EventName, LogAttributes['event.name']) AS Event
                FROM otel_logs
                WHERE SpanId != '' AND Event IN (
                    {{ details_event | literal }}
{%- for events in event_messages.values() %}, {{ events | literals }}{% endfor %}

                )
            )
            GROUP BY Project, TraceId, SpanId
        )
    )
)
COMMENT 'What log records say that a span''s messages were: joined when read, so that either may come first';
