-- The dialects' chat messages as the convention's: [{"role": …, "parts": [{"type": …}]}].
--
-- Messages come as JSON in some provider's shape, as flattened keys (flattened_keys.sql) or in span events (events.sql);
-- the latter two are first written as such JSON, so that this is the one translator. All of it takes time and memory
-- linear in the text: no lambda drags a whole conversation along.

-- The parts of a message's JSON, raw: an answer of a tool is a part of its own.
CREATE OR REPLACE FUNCTION llmtrace_message_content AS (body) ->
    multiIf(
        JSONExtractString(body, 'role') = 'tool' AND JSONHas(body, 'tool_call_id'),
        [concat(
            '{"type":"tool_result","id":', llmtrace_quoted(JSONExtractString(body, 'tool_call_id')),
            ',"content":',
            llmtrace_first([JSONExtractRaw(body, 'content'), JSONExtractRaw(body, 'parts'), 'null']),
            '}'
        )],
        JSONType(body, 'content') = 'Array', JSONExtractArrayRaw(body, 'content'),
        JSONHas(body, 'parts'), JSONExtractArrayRaw(body, 'parts'),
        JSONHas(body, 'role') OR JSONHas(body, 'tool_calls'),
        if(JSONType(body, 'content') IN ('Null', ''), emptyArrayString(), [JSONExtractRaw(body, 'content')]),
        [body]
    );

-- Role and parts of a message, without the closing brace; the role is '' where the message names none.
CREATE OR REPLACE FUNCTION llmtrace_message_parts AS (body) ->
    concat(
        '{"role":', replaceOne(toJSONString(JSONExtractString(body, 'role')), '"model"', '"assistant"'),
        ',"parts":',
        llmtrace_json_array(arrayMap(
            message_part -> llmtrace_part(message_part),
            arrayConcat(llmtrace_message_content(body), JSONExtractArrayRaw(body, 'tool_calls'))
        ))
    );

-- One message, choice, part or string of any provider; `role` is that of one that names none. The role and the finish
-- reason stand outside the lambda over the parts, which would copy them for each.
CREATE OR REPLACE FUNCTION llmtrace_message AS (item, role) ->
    concat(
        replaceOne(
            arrayMap(
                message_body -> llmtrace_message_parts(message_body),
                [if(JSONHas(item, 'message'), JSONExtractRaw(item, 'message'), item)]
            )[1],
            '{"role":""',
            concat('{"role":"', role, '"')
        ),
        if(
            JSONExtractString(item, 'finish_reason') = '',
            '',
            concat(',"finish_reason":', toJSONString(JSONExtractString(item, 'finish_reason')))
        ),
        '}'
    );

-- Each text (JSON of messages, of one message or of its content, or bare text) as messages; `roles` are those of
-- messages that name none, a role for each text. A lambda that captured the role would copy it for every message:
-- there is an array of roles as long as the messages.
CREATE OR REPLACE FUNCTION llmtrace_messages AS (texts, roles) ->
    arrayMap(
        (messages_text, messages_role) -> if(
            messages_text = '',
            '',
            arrayMap(
                messages_items -> llmtrace_json_array(arrayMap(
                    (messages_item, messages_item_role) -> llmtrace_message(messages_item, messages_item_role),
                    messages_items,
                    arrayMap(messages_any_item -> messages_role, messages_items)
                )),
                [llmtrace_json_items(messages_text)]
            )[1]
        ),
        texts,
        roles
    );

-- System instructions as JSON of one message, so that its content goes through the same translator.
CREATE OR REPLACE FUNCTION llmtrace_system_message AS (instructions) ->
    if(
        instructions = '',
        '',
        concat(
            '{"role":"system","content":',
            multiIf(
                NOT startsWith(instructions, '['), toJSONString(instructions),
                isValidJSON(instructions), instructions,
                toJSONString(instructions)
            ),
            '}'
        )
    );

-- The AI SDK's answer, which is spread over attributes, as JSON of one message; '' where there is none.
CREATE OR REPLACE FUNCTION llmtrace_ai_sdk_answer AS (text, reasoning, tool_calls) ->
    arrayMap(
        ai_sdk_parts -> if(
            empty(ai_sdk_parts),
            '',
            concat('[{"role":"assistant","content":', llmtrace_json_array(ai_sdk_parts), '}]')
        ),
        [arrayFilter(
            ai_sdk_part -> ai_sdk_part != '',
            arrayConcat(
                [
                    if(reasoning = '', '', concat('{"type":"reasoning","content":', toJSONString(reasoning), '}')),
                    if(text = '', '', toJSONString(text))
                ],
                JSONExtractArrayRaw(tool_calls)
            )
        )]
    )[1];

-- Messages that the convention's attribute already holds in its own shape are stored as they were sent, but for what
-- some write there in a provider's words; `scope` is that of the span, some write an older shape under the same name.
CREATE OR REPLACE FUNCTION llmtrace_own_or_translated AS (own, translated, scope) ->
    multiIf(
        scope IN ({{ foreign_scopes | literals }}), translated,
        position(own, '"parts"') = 0, translated,
        match(own, '"type": ?"thinking"'), translated,
        own
    );
