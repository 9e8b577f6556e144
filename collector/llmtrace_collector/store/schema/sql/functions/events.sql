-- Messages that stand in span events or log records of older conventions, as JSON of chat messages.
--
-- An `event` is (name, its attributes as a Map).
{% for column, events in event_messages.items() %}

-- The role and the text of one event that holds an {{ 'input' if loop.first else 'output' }} message.
CREATE OR REPLACE FUNCTION llmtrace_{{ column | snake }}_event AS (event) ->
    (
        transform(event.1, [{{ events | literals }}], [{{ events.values() | map(attribute=1) | literals }}], event.1),
        llmtrace_first([
            event.2[transform(
                event.1,
                [{{ events | literals }}],
                [{{ events.values() | map(attribute=0) | literals }}],
                event.1
            )],
            event.2[{{ event_content | literal }}]
        ])
    );

-- JSON of the {{ 'input' if loop.first else 'output' }} messages in events, '' where there are none.
CREATE OR REPLACE FUNCTION llmtrace_{{ column | snake }}_of_events AS (names, attributes) ->
    llmtrace_json_array_or_nothing(arrayFlatten(arrayMap(
        {{ column | snake }}_message -> llmtrace_event_messages({{ column | snake }}_message.1, {{ column | snake }}_message.2),
        arrayFilter(
            {{ column | snake }}_told -> {{ column | snake }}_told.2 != '',
            arrayMap(
                {{ column | snake }}_event -> llmtrace_{{ column | snake }}_event({{ column | snake }}_event),
                arrayFilter(
                    {{ column | snake }}_any -> {{ column | snake }}_any.1 IN ({{ events | literals }}),
                    arrayZip(names, arraySlice(attributes, 1, length(names)))
                )
            )
        )
    )));
{% endfor %}

-- JSON of the documents in events that each hold one, '' where there are none.
CREATE OR REPLACE FUNCTION llmtrace_documents_of_events AS (names, attributes) ->
    llmtrace_json_array_or_nothing(arrayMap(
        (documents_map, documents_name) -> llmtrace_document(
            documents_map[{{ result_id | literal }}],
            llmtrace_first([
{% for key in result_scores %}
                documents_map[{{ key | literal }}]{{ ',' if not loop.last }}
{% endfor %}
            ])
        ),
        arrayFilter(
            (documents_of, documents_event) -> documents_event = {{ result_event | literal }},
            arraySlice(attributes, 1, length(names)),
            names
        ),
        arrayFilter(documents_named -> documents_named = {{ result_event | literal }}, names)
    ));

-- JSON of the finish reasons in events that each hold a choice, '' where there are none.
CREATE OR REPLACE FUNCTION llmtrace_finish_reasons_of_events AS (names, attributes) ->
    llmtrace_json_array_or_nothing(arrayMap(
        finish_reason_of -> toJSONString(finish_reason_of['finish_reason']),
        arrayFilter(
            (finish_reason_map, finish_reason_event) -> if(
                finish_reason_event = 'gen_ai.choice', finish_reason_map['finish_reason'] != '', false
            ),
            arraySlice(attributes, 1, length(names)),
            names
        )
    ));

-- An attribute of the convention's events with all of a call in them, which some write as one event for each attribute;
-- '' where none has it.
CREATE OR REPLACE FUNCTION llmtrace_call_detail AS (names, attributes, key) ->
    arrayFirst(
        (call_detail_map, call_detail_name) -> if(
            call_detail_name = {{ details_event | literal }}, call_detail_map[key] != '', false
        ),
        arraySlice(attributes, 1, length(names)),
        names
    )[key];

-- The messages of one event's text: JSON of several, of one, or its content.
CREATE OR REPLACE FUNCTION llmtrace_event_messages AS (role, text) ->
    multiIf(
        startsWith(text, '[') AND (JSONHas(text, 1, 'role') OR JSONHas(text, 1, 'message')), JSONExtractArrayRaw(text),
        startsWith(text, '[') AND isValidJSON(text), [concat('{"role":"', role, '","content":', text, '}')],
        startsWith(text, '{') AND (JSONHas(text, 'role') OR JSONHas(text, 'message')), [text],
        [concat(
            '{"role":"', role, '","content":',
            if(startsWith(text, '{') AND isValidJSON(text), text, toJSONString(text)),
            '}'
        )]
    );

{% set all_events = {} %}
{% for events in event_messages.values() %}{{ all_events.update(events) or '' }}{% endfor %}
-- The attribute that holds the message of an event, and the role of who said it.
CREATE OR REPLACE FUNCTION llmtrace_event_key AS (event) ->
    transform(
        event,
        [{{ all_events | literals }}],
        [{{ all_events.values() | map(attribute=0) | literals }}],
        event
    );

CREATE OR REPLACE FUNCTION llmtrace_event_role AS (event) ->
    transform(
        event,
        [{{ all_events | literals }}],
        [{{ all_events.values() | map(attribute=1) | literals }}],
        event
    );

-- The body of a log record as the text of its message. It need not name the role that the event's name tells.
CREATE OR REPLACE FUNCTION llmtrace_event_body AS (event, body) ->
    multiIf(
        startsWith(body, '{')
            AND isValidJSON(body)
            AND (JSONHas(body, 'content') OR JSONHas(body, 'tool_calls'))
            AND NOT JSONHas(body, 'role')
            AND NOT JSONHas(body, 'message'),
        concat('{"role":"', llmtrace_event_role(event), '",', substring(body, 2)),
        body IN ('{}', 'null'),
        '',
        body
    );
