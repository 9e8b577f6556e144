CREATE OR REPLACE FUNCTION llmtrace_double_text AS (number) ->
    replaceRegexpOne(toString(number), 'e([0-9])', 'e+\\1');

CREATE OR REPLACE FUNCTION llmtrace_double_json AS (number) ->
    if(isFinite(number), llmtrace_double_text(number), concat('"', toString(number), '"'));

CREATE OR REPLACE FUNCTION llmtrace_scalar_json AS (value) ->
    multiIf(
        tupleElement(value, 'value') = 'string_value', toJSONString(tupleElement(value, 'string_value')),
        tupleElement(value, 'value') = 'int_value', toString(tupleElement(value, 'int_value')),
        tupleElement(value, 'value') = 'double_value', llmtrace_double_json(tupleElement(value, 'double_value')),
        tupleElement(value, 'value') = 'bool_value', if(tupleElement(value, 'bool_value'), 'true', 'false'),
        tupleElement(value, 'value') = 'bytes_value',
        toJSONString(base64Encode(tupleElement(value, 'bytes_value'))),
        'null'
    );

CREATE OR REPLACE FUNCTION llmtrace_array_json AS (value) ->
    llmtrace_json_array(
        arrayMap(
            array_json_item -> llmtrace_scalar_json(array_json_item),
            tupleElement(tupleElement(value, 'array_value'), 'values')
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_scalar_json_without_bytes AS (value) ->
    multiIf(
        tupleElement(value, 'value') = 'string_value', toJSONString(tupleElement(value, 'string_value')),
        tupleElement(value, 'value') = 'int_value', toString(tupleElement(value, 'int_value')),
        tupleElement(value, 'value') = 'double_value', llmtrace_double_json(tupleElement(value, 'double_value')),
        tupleElement(value, 'value') = 'bool_value', if(tupleElement(value, 'bool_value'), 'true', 'false'),
        tupleElement(value, 'value') = 'bytes_value',
        '"[redacted:bytes]"',
        'null'
    );

CREATE OR REPLACE FUNCTION llmtrace_array_json_without_bytes AS (value) ->
    llmtrace_json_array(
        arrayMap(
            array_json_item -> llmtrace_scalar_json_without_bytes(array_json_item),
            tupleElement(tupleElement(value, 'array_value'), 'values')
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_value_text AS (value) ->
    multiIf(
        tupleElement(value, 'value') = 'string_value', tupleElement(value, 'string_value'),
        tupleElement(value, 'value') = 'int_value', toString(tupleElement(value, 'int_value')),
        tupleElement(value, 'value') = 'double_value', llmtrace_double_text(tupleElement(value, 'double_value')),
        tupleElement(value, 'value') = 'bool_value', if(tupleElement(value, 'bool_value'), 'true', 'false'),
        tupleElement(value, 'value') = 'bytes_value', base64Encode(tupleElement(value, 'bytes_value')),
        tupleElement(value, 'value') = 'array_value', llmtrace_array_json(value),
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_value_texts AS (values) ->
    arrayMap(value_texts_value -> llmtrace_value_text(value_texts_value), values);

CREATE OR REPLACE FUNCTION llmtrace_searched_text AS (value) ->
    multiIf(
        tupleElement(value, 'value') = 'string_value', tupleElement(value, 'string_value'),
        tupleElement(value, 'value') = 'array_value', llmtrace_array_json_without_bytes(value),
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_searched_texts AS (values) ->
    arrayMap(searched_texts_value -> llmtrace_searched_text(searched_texts_value), values);

CREATE OR REPLACE FUNCTION llmtrace_cleaned_text AS (value, cleaned) ->
    multiIf(
        tupleElement(value, 'value') IN ('string_value', 'array_value'), cleaned,
        tupleElement(value, 'value') = 'int_value', toString(tupleElement(value, 'int_value')),
        tupleElement(value, 'value') = 'double_value', llmtrace_double_text(tupleElement(value, 'double_value')),
        tupleElement(value, 'value') = 'bool_value', if(tupleElement(value, 'bool_value'), 'true', 'false'),
        tupleElement(value, 'value') = 'bytes_value', '[redacted:bytes]',
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_cleaned_texts AS (values, cleaned) ->
    arrayMap(
        (cleaned_texts_value, cleaned_texts_text) -> llmtrace_cleaned_text(cleaned_texts_value, cleaned_texts_text),
        values,
        cleaned
    );

CREATE OR REPLACE FUNCTION llmtrace_attributes AS (attributes) ->
    llmtrace_attribute_map(
        tupleElement(attributes, 'key'), llmtrace_value_texts(tupleElement(attributes, 'value'))
    );

CREATE OR REPLACE FUNCTION llmtrace_attribute_map AS (keys, texts) ->
    llmtrace_map_of_first(arrayReverse(keys), arrayReverse(texts));

CREATE OR REPLACE FUNCTION llmtrace_map_of_first AS (keys, texts) ->
    CAST(
        arrayFilter(
            (map_of_first_entry, map_of_first_occurrence) -> map_of_first_occurrence = 1,
            arrayZip(keys, texts),
            arrayEnumerateUniq(keys)
        ),
        'Map(LowCardinality(String), String)'
    );

CREATE OR REPLACE FUNCTION llmtrace_is_content AS (key) ->
    (
        key IN ('agent.messages', 'ai.documents', 'ai.embedding', 'ai.embeddings', 'ai.prompt', 'ai.prompt.messages',
'ai.prompt.tools', 'ai.ranking', 'ai.response.files', 'ai.response.object', 'ai.response.providerMetadata',
'ai.response.reasoning', 'ai.response.text', 'ai.response.toolCalls', 'ai.result.object', 'ai.result.text',
'ai.result.toolCalls', 'ai.schema', 'ai.toolCall.args', 'ai.toolCall.result', 'ai.value', 'ai.values',
'all_messages', 'all_messages_events', 'embedding.text', 'events', 'final_result', 'gcp.vertex.agent.data',
'gcp.vertex.agent.llm_request', 'gcp.vertex.agent.llm_response', 'gcp.vertex.agent.tool_call_args',
'gcp.vertex.agent.tool_response', 'gen_ai.completion', 'gen_ai.content.completion', 'gen_ai.content.prompt',
'gen_ai.evaluation.explanation', 'gen_ai.event.content', 'gen_ai.input.messages', 'gen_ai.memory.query.text',
'gen_ai.memory.records', 'gen_ai.output.messages', 'gen_ai.prompt', 'gen_ai.retrieval.documents',
'gen_ai.retrieval.query.text', 'gen_ai.system_instructions', 'gen_ai.tool.args', 'gen_ai.tool.call.arguments',
'gen_ai.tool.call.result', 'gen_ai.tool.definitions', 'gen_ai.tool.input', 'gen_ai.tool.output',
'genkit:input', 'genkit:output', 'http.request.body', 'http.response.body', 'input.value',
'inputs', 'langfuse.observation.input', 'langfuse.observation.output', 'langfuse.trace.input',
'langfuse.trace.output', 'llm.choices.0.completion.text', 'llm.function_call', 'llm.generated_message',
'llm.invocation_parameters', 'llm.messages', 'llm.prompt_template.template', 'llm.prompt_template.variables',
'llm.prompts.0.prompt.text', 'llmtrace.approval.arguments', 'llmtrace.approval.reason', 'llmtrace.function.arguments',
'llmtrace.function.result', 'lmnr.span.input', 'lmnr.span.output', 'mcp.request.argument',
'mcp.response.value', 'mlflow.chat.messages', 'mlflow.chat.tools', 'mlflow.spanInputs', 'mlflow.spanOutputs',
'mlflow.traceInputs', 'mlflow.traceOutputs', 'model_request_parameters', 'output', 'output.value',
'prompt.template', 'prompt.variables', 'pydantic_ai.all_messages', 'request_data', 'reranker.query',
'response_data', 'retrieval.documents', 'retrieval.query', 'span.input', 'span.output', 'system_prompt',
'tool.parameters', 'tool_arguments', 'tool_input', 'tool_output', 'tool_response', 'trace.input',
'trace.output', 'traceloop.entity.input', 'traceloop.entity.output', 'traceloop.prompt.template',
'traceloop.prompt.template_variables', 'user_prompt')
        OR match(key, '^(gen_ai\\.(prompt|completion)\\.(\\d|variable\\.)|gen_ai\\.tool\\.\\d|llm\\.(input_messages|output_messages|prompts|completions|choices|tools|request\\.functions)\\.|llm\\.\\w+\\.(messages|prompt|input|output|content|choices|system|tools|candidates|contents)$|(retrieval\\.documents|embedding\\.embeddings|reranker\\.(input|output)_documents|db\\.query\\.result)\\.|lk\\.(user_|input_|chat_ctx|response\\.text|instructions|function_tool\\.(arguments|output))|ai\\.(prompt|toolCall\\.args|toolCall\\.result)\\.)')
    );

CREATE OR REPLACE FUNCTION llmtrace_is_conversation AS (event) ->
    match(event, '^(gen_ai|llm|ai)\\.');

CREATE OR REPLACE FUNCTION llmtrace_without_content AS (attributes) ->
    mapFilter((without_content_key, without_content_text) -> NOT llmtrace_is_content(without_content_key), attributes);

CREATE OR REPLACE FUNCTION llmtrace_event_without_content AS (attributes, event) ->
    mapFilter(
        (event_content_key, event_content_text) -> NOT (
            llmtrace_is_content(event_content_key)
            OR event_content_key IN ('content', 'message', 'tool_calls', 'arguments', 'response') AND llmtrace_is_conversation(event)
        ),
        attributes
    );

CREATE OR REPLACE FUNCTION llmtrace_name_only AS (text) -> if(match(text, '^([\\w.:/@"\\[\\]-]|, ?){0,200}$'), text, '');

CREATE OR REPLACE FUNCTION llmtrace_has_column AS (key) ->
    (
        key IN ('ai.prompt.messages', 'ai.prompt', 'request_data', 'mlflow.spanInputs', 'langfuse.observation.input',
'input.value', 'gen_ai.prompt', 'inputs', 'ai.value', 'gcp.vertex.agent.llm_request', 'llm.prompts.0.prompt.text',
'response_data', 'mlflow.spanOutputs', 'langfuse.observation.output', 'output.value', 'gen_ai.completion',
'output', 'llm.generated_message', 'gcp.vertex.agent.llm_response', 'llm.choices.0.completion.text',
'ai.response.object', 'ai.prompt.tools', 'mlflow.chat.tools', 'ai.response.text', 'ai.response.toolCalls',
'ai.response.reasoning', 'ai.result.text', 'ai.values')
        OR match(key, '^(gen_ai\\.prompt|llm\\.input_messages|embedding\\.embeddings|gen_ai\\.completion|llm\\.output_messages|llm\\.request\\.functions|llm\\.tools|llm\\.prompts|llm\\.choices)\\.\\d')
    );

CREATE OR REPLACE FUNCTION llmtrace_count AS (text) -> toUInt64OrNull(text);

CREATE OR REPLACE FUNCTION llmtrace_count_or_0 AS (text) -> toUInt64OrZero(text);

CREATE OR REPLACE FUNCTION llmtrace_seconds AS (text) ->
    toFloat64OrNull(extract(text, '^[0-9.]{1,30}(?:[eE][-+]?[0-9]{1,2})?$'));

CREATE OR REPLACE FUNCTION llmtrace_weight AS (text) ->
    multiIf(toFloat64OrZero(text) <= 0, 1, toFloat64OrZero(text) < 1e9, toFloat64OrZero(text), 1);

CREATE OR REPLACE FUNCTION llmtrace_string_list AS (text) ->
    if(startsWith(text, '['), JSONExtract(text, 'Array(String)'), arrayResize([text], text != ''));

CREATE OR REPLACE FUNCTION llmtrace_finish_reasons AS (text) ->
    arrayMap(
        finish_reason -> transform(
            finish_reason,
            ['stop', 'end_turn', 'stop_sequence', 'complete', 'completed', 'eos', 'eos_token', 'finish',
'finished', 'stop_criteria_met', 'length', 'max_tokens', 'max_output_tokens', 'model_length',
'max_completion_tokens', 'max_prompt_tokens', 'model_context_window_exceeded', 'incomplete',
'tool_call', 'tool_calls', 'tool_use', 'function_call', 'requires_action', 'content_filter',
'content_filtered', 'guardrail_intervened', 'refusal', 'safety', 'recitation', 'blocklist',
'prohibited_content', 'spii', 'language', 'image_safety', 'image_prohibited_content', 'image_recitation',
'error_toxic', 'model_armor', 'jailbreak', 'compaction', 'error', 'failed', 'cancelled', 'expired',
'timeout', 'malformed_function_call', 'unexpected_tool_call', 'malformed_model_output', 'malformed_tool_use',
'too_many_tool_calls', 'error_limit'],
            ['stop', 'stop', 'stop', 'stop', 'stop', 'stop', 'stop', 'stop', 'stop', 'stop', 'length', 'length',
'length', 'length', 'length', 'length', 'length', 'length', 'tool_call', 'tool_call', 'tool_call',
'tool_call', 'tool_call', 'content_filter', 'content_filter', 'content_filter', 'content_filter',
'content_filter', 'content_filter', 'content_filter', 'content_filter', 'content_filter', 'content_filter',
'content_filter', 'content_filter', 'content_filter', 'content_filter', 'content_filter', 'content_filter',
'compaction', 'error', 'error', 'error', 'error', 'error', 'error', 'error', 'error', 'error',
'error', 'error'],
            finish_reason
        ),
        arrayMap(
            finish_reason_text -> replaceRegexpOne(
                replaceAll(lower(finish_reason_text), '-', '_'),
                '^<?(?:\\w+[.])*finish_?reason[._](\\w+).*$',
                '\\1'
            ),
            llmtrace_string_list(text)
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_service_tier AS (text, cache_hit) ->
    multiIf(
        cache_hit = 'true', 'response_cache',
        lower(text) IN ('auto', 'default', 'standard', 'on_demand', 'standard_only'), '',
        lower(text)
    );

CREATE OR REPLACE FUNCTION llmtrace_purpose AS (of_span, of_resource, simulated) ->
    multiIf(
        of_span IN ('product', 'simulated', 'bench', 'replay', 'evaluation', 'judge', 'playground'), of_span,
        of_resource IN ('product', 'simulated', 'bench', 'replay', 'evaluation', 'judge', 'playground'), of_resource,
        simulated = 'true', 'simulated',
        'product'
    );

CREATE OR REPLACE FUNCTION llmtrace_plain_number AS (text) ->
    multiIf(
        startsWith(text, '{'), replaceAll(JSONExtractRaw(text, 'intValue'), '"', ''),
        endsWith(text, '.0'), substring(text, 1, length(text) - 2),
        text
    );

CREATE OR REPLACE FUNCTION llmtrace_plain_numbers AS (texts) ->
    arrayMap(plain_number_text -> llmtrace_plain_number(plain_number_text), texts);

CREATE OR REPLACE FUNCTION llmtrace_model AS (request_model, response_model) ->
    if(request_model != '', request_model, response_model);

CREATE OR REPLACE FUNCTION llmtrace_is_llm AS (operation) ->
    operation IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'rerank', 'transcription', 'translation',
'speech', 'moderation', 'fine_tuning', 'cache_storage', 'predict');

CREATE OR REPLACE FUNCTION llmtrace_uncounted AS (is_llm, sender_says, span_kind, parent, span_name, input_tokens) ->
    multiIf(
        NOT is_llm, '',
        sender_says = 'false', 'sender',
        if(isNull(input_tokens), match(concat('.', span_name), '[.]_[^_]'), 0) > 0, 'no_request',
        parent = '', '',
        span_kind = 'Server', 'server',
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_counted AS (is_llm, uncounted) -> if(is_llm, uncounted = '', false);

CREATE OR REPLACE FUNCTION llmtrace_usage_fault AS (
    input, output, cache_read, cache_write, cache_write_1h, reasoning, media_input, media_output
) ->
    multiIf(
        cache_read + cache_write > ifNull(input, 0), 'cache exceeds input',
        cache_write_1h > cache_write, 'cache writes of an hour exceed cache writes',
        media_input > ifNull(input, 0), 'media exceed input',
        reasoning > ifNull(output, 0), 'reasoning exceeds output',
        media_output > ifNull(output, 0), 'media exceed output',
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_prompt_hash AS (model, input, instructions, tools) ->
    if(input = '', 0, cityHash64(model, input, instructions, tools));

CREATE OR REPLACE FUNCTION llmtrace_tags_of_dialect AS (text) ->
    multiIf(
        startsWith(text, '['), text,
        position(text, ',') > 0, toJSONString(splitByChar(',', text)),
        text
    );

CREATE OR REPLACE FUNCTION llmtrace_cache_writes AS (total, short, long) ->
    multiIf(
        total != '', total,
        toUInt64OrZero(short) + toUInt64OrZero(long) = 0, '',
        toString(toUInt64OrZero(short) + toUInt64OrZero(long))
    );

CREATE OR REPLACE FUNCTION llmtrace_inclusive_output AS (output, reasoning, total, input, cache_read, cache_write) ->
    multiIf(
        output = '', '',
        has(
            [toInt64(0), toInt64OrZero(cache_read) + toInt64OrZero(cache_write)],
            toInt64OrZero(total) - toInt64OrZero(output) - toInt64OrZero(reasoning) - toInt64OrZero(input)
        ),
        toString(toInt64OrZero(output) + toInt64OrZero(reasoning)),
        output
    );

CREATE OR REPLACE FUNCTION llmtrace_inclusive_input AS (input, cache_read, cache_write, cache_is_apart) ->
    multiIf(
        input = '', '',
        cache_is_apart, toString(toUInt64OrZero(input) + toUInt64OrZero(cache_read) + toUInt64OrZero(cache_write)),
        input
    );

CREATE OR REPLACE FUNCTION llmtrace_input_messages_event AS (event) ->
    (
        transform(event.1, ['gen_ai.content.prompt', 'gen_ai.system.message', 'gen_ai.user.message', 'gen_ai.assistant.message',
'gen_ai.tool.message'], ['user', 'system', 'user', 'assistant', 'tool'], event.1),
        llmtrace_first([
            event.2[transform(
                event.1,
                ['gen_ai.content.prompt', 'gen_ai.system.message', 'gen_ai.user.message', 'gen_ai.assistant.message',
'gen_ai.tool.message'],
                ['gen_ai.prompt', 'content', 'content', 'content', 'content'],
                event.1
            )],
            event.2['gen_ai.event.content']
        ])
    );

CREATE OR REPLACE FUNCTION llmtrace_input_messages_of_events AS (names, attributes) ->
    llmtrace_json_array_or_nothing(arrayFlatten(arrayMap(
        input_messages_message -> llmtrace_event_messages(input_messages_message.1, input_messages_message.2),
        arrayFilter(
            input_messages_told -> input_messages_told.2 != '',
            arrayMap(
                input_messages_event -> llmtrace_input_messages_event(input_messages_event),
                arrayFilter(
                    input_messages_any -> input_messages_any.1 IN ('gen_ai.content.prompt', 'gen_ai.system.message', 'gen_ai.user.message', 'gen_ai.assistant.message',
'gen_ai.tool.message'),
                    arrayZip(names, arraySlice(attributes, 1, length(names)))
                )
            )
        )
    )));

CREATE OR REPLACE FUNCTION llmtrace_output_messages_event AS (event) ->
    (
        transform(event.1, ['gen_ai.content.completion', 'gen_ai.choice'], ['assistant', 'assistant'], event.1),
        llmtrace_first([
            event.2[transform(
                event.1,
                ['gen_ai.content.completion', 'gen_ai.choice'],
                ['gen_ai.completion', 'message'],
                event.1
            )],
            event.2['gen_ai.event.content']
        ])
    );

CREATE OR REPLACE FUNCTION llmtrace_output_messages_of_events AS (names, attributes) ->
    llmtrace_json_array_or_nothing(arrayFlatten(arrayMap(
        output_messages_message -> llmtrace_event_messages(output_messages_message.1, output_messages_message.2),
        arrayFilter(
            output_messages_told -> output_messages_told.2 != '',
            arrayMap(
                output_messages_event -> llmtrace_output_messages_event(output_messages_event),
                arrayFilter(
                    output_messages_any -> output_messages_any.1 IN ('gen_ai.content.completion', 'gen_ai.choice'),
                    arrayZip(names, arraySlice(attributes, 1, length(names)))
                )
            )
        )
    )));

CREATE OR REPLACE FUNCTION llmtrace_documents_of_events AS (names, attributes) ->
    llmtrace_json_array_or_nothing(arrayMap(
        (documents_map, documents_name) -> llmtrace_document(
            documents_map['db.query.result.id'],
            llmtrace_first([
                documents_map['db.query.result.score'],
                documents_map['db.query.result.distance']
            ])
        ),
        arrayFilter(
            (documents_of, documents_event) -> documents_event = 'db.query.result',
            arraySlice(attributes, 1, length(names)),
            names
        ),
        arrayFilter(documents_named -> documents_named = 'db.query.result', names)
    ));

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

CREATE OR REPLACE FUNCTION llmtrace_call_detail AS (names, attributes, key) ->
    arrayFirst(
        (call_detail_map, call_detail_name) -> if(
            call_detail_name = 'gen_ai.client.inference.operation.details', call_detail_map[key] != '', false
        ),
        arraySlice(attributes, 1, length(names)),
        names
    )[key];

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

CREATE OR REPLACE FUNCTION llmtrace_event_key AS (event) ->
    transform(
        event,
        ['gen_ai.content.prompt', 'gen_ai.system.message', 'gen_ai.user.message', 'gen_ai.assistant.message',
'gen_ai.tool.message', 'gen_ai.content.completion', 'gen_ai.choice'],
        ['gen_ai.prompt', 'content', 'content', 'content', 'content', 'gen_ai.completion', 'message'],
        event
    );

CREATE OR REPLACE FUNCTION llmtrace_event_role AS (event) ->
    transform(
        event,
        ['gen_ai.content.prompt', 'gen_ai.system.message', 'gen_ai.user.message', 'gen_ai.assistant.message',
'gen_ai.tool.message', 'gen_ai.content.completion', 'gen_ai.choice'],
        ['user', 'system', 'user', 'assistant', 'tool', 'assistant', 'assistant'],
        event
    );

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

CREATE OR REPLACE FUNCTION llmtrace_elements AS (keys, texts) ->
    arraySort(
        element_sorted -> (element_sorted.1, element_sorted.2),
        arrayFilter(
            element_inner -> element_inner.2 <= 10000,
            arrayMap(
                element_outer -> (
                    element_outer.1,
                    toUInt32OrZero(extract(element_outer.2, '\\.(\\d{1,9})\\.')),
                    replaceRegexpOne(element_outer.2, '\\.(\\d{1,9})\\.', '.'),
                    element_outer.3,
                    element_outer.4
                ),
                llmtrace_outer_elements(keys, texts)
            )
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_outer_elements AS (keys, texts) ->
    arrayFilter(
        element_known -> element_known.2 NOT IN ('', 'vector') AND element_known.1 <= 10000,
        arrayMap(
            (element_names, element_text) -> (
                toUInt32OrZero(element_names[2]),
                replaceRegexpAll(element_names[3], '(message|message_content|tool_call|function|tool|document|embedding)\\.', ''),
                element_names[1],
                element_text
            ),
            arrayMap(
                element_key -> extractGroups(
                    element_key,
                    '^(gen_ai\\.prompt|llm\\.input_messages|embedding\\.embeddings|gen_ai\\.completion|llm\\.output_messages|llm\\.request\\.functions|llm\\.tools|retrieval\\.documents)\\.(\\d{1,9})\\.(.+)$'
                ),
                keys
            ),
            texts
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_by_index AS (elements) ->
    arraySplit(
        (by_index_element, by_index_change) -> by_index_change != 0,
        elements,
        arrayDifference(arrayMap(by_index_of -> toInt64(by_index_of.1), elements))
    );

CREATE OR REPLACE FUNCTION llmtrace_by_inner_index AS (elements) ->
    arraySplit(
        (by_inner_element, by_inner_change) -> by_inner_change != 0,
        elements,
        arrayDifference(arrayMap(by_inner_of -> toInt64(by_inner_of.2), elements))
    );

CREATE OR REPLACE FUNCTION llmtrace_element AS (elements, name) ->
    arrayFirst(element_named -> element_named.3 = name, elements).5;

CREATE OR REPLACE FUNCTION llmtrace_inner_groups AS (elements, prefix) ->
    llmtrace_by_inner_index(arrayFilter(inner_element -> startsWith(inner_element.3, prefix), elements));

CREATE OR REPLACE FUNCTION llmtrace_flat_content AS (elements) ->
    arrayMap(
        flat_content -> multiIf(
            startsWith(flat_content, '[{') AND isValidJSON(flat_content), JSONExtractArrayRaw(flat_content),
            flat_content IN ('', '""'), emptyArrayString(),
            [toJSONString(flat_content)]
        ),
        [llmtrace_first([llmtrace_element(elements, 'content'), llmtrace_element(elements, 'text')])]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_flat_part AS (elements) ->
    arrayMap(
        flat_image -> if(
            flat_image != '',
            concat('{"type":"image_url","url":', toJSONString(flat_image), '}'),
            toJSONString(llmtrace_element(elements, 'contents.text'))
        ),
        [llmtrace_first([
            llmtrace_element(elements, 'contents.image.image.url'),
            llmtrace_element(elements, 'contents.image.url')
        ])]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_flat_tool_call AS (elements) ->
    concat(
        '{"type":"function","id":', toJSONString(llmtrace_element(elements, 'tool_calls.id')),
        ',"name":', toJSONString(llmtrace_element(elements, 'tool_calls.name')),
        ',"arguments":', toJSONString(llmtrace_element(elements, 'tool_calls.arguments')),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_flat_parts AS (elements) ->
    llmtrace_json_array(arrayConcat(
        llmtrace_flat_content(elements),
        arrayMap(flat_part -> llmtrace_flat_part(flat_part), llmtrace_inner_groups(elements, 'contents.'))
    ));

CREATE OR REPLACE FUNCTION llmtrace_flat_tool_calls AS (elements) ->
    llmtrace_json_array(arrayMap(
        flat_call -> llmtrace_flat_tool_call(flat_call),
        llmtrace_inner_groups(elements, 'tool_calls.')
    ));

CREATE OR REPLACE FUNCTION llmtrace_flat_member AS (elements, name) ->
    if(
        llmtrace_element(elements, name) = '',
        '',
        concat(',"', name, '":', toJSONString(llmtrace_element(elements, name)))
    );

CREATE OR REPLACE FUNCTION llmtrace_flat_tool AS (elements) ->
    concat(
        '{"name":', toJSONString(llmtrace_element(elements, 'name')),
        ',"description":', toJSONString(llmtrace_element(elements, 'description')),
        ',"parameters":', llmtrace_embedded(llmtrace_first([
            llmtrace_element(elements, 'parameters'),
            llmtrace_element(elements, 'input_schema')
        ])),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_flat_message AS (elements) ->
    if(
        llmtrace_element(elements, 'role') = 'thinking',
        concat(
            '{"role":"assistant","content":[{"type":"reasoning","content":',
            toJSONString(llmtrace_element(elements, 'content')),
            '}]}'
        ),
        llmtrace_flat_spoken_message(elements)
    );

CREATE OR REPLACE FUNCTION llmtrace_flat_spoken_message AS (elements) ->
    concat(
        '{"role":', toJSONString(llmtrace_element(elements, 'role')),
        ',"content":',
        if(
            llmtrace_element(elements, 'tool_call_id') != '' AND llmtrace_element(elements, 'role') = 'tool',
            llmtrace_embedded(llmtrace_element(elements, 'content')),
            llmtrace_flat_parts(elements)
        ),
        llmtrace_flat_member(elements, 'tool_call_id'),
        llmtrace_flat_member(elements, 'finish_reason'),
        ',"tool_calls":',
        if(
            llmtrace_element(elements, 'function_call.name') = '',
            llmtrace_flat_tool_calls(elements),
            concat(
                '[{"type":"function","name":', toJSONString(llmtrace_element(elements, 'function_call.name')),
                ',"arguments":', toJSONString(llmtrace_element(elements, 'function_call.arguments')),
                '}]'
            )
        ),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_document AS (id, score) ->
    concat(
        '{"id":', llmtrace_quoted(id),
        ',"score":', llmtrace_first([extract(score, '^-?[0-9]+(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?$'), 'null']),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_flat_item AS (elements) ->
    multiIf(
        elements[1].4 = 'retrieval.documents',
        llmtrace_document(llmtrace_element(elements, 'id'), llmtrace_element(elements, 'score')),
        llmtrace_element(elements, 'json_schema') != '', llmtrace_element(elements, 'json_schema'),
        elements[1].4 IN ('llm.request.functions', 'llm.tools'), llmtrace_flat_tool(elements),
        llmtrace_flat_message(elements)
    );

CREATE OR REPLACE FUNCTION llmtrace_flattened AS (keys, texts) ->
    arrayMap(
        flattened_elements -> arrayMap(
            flattened_kind -> llmtrace_json_array_or_nothing(arrayMap(
                flattened_group -> llmtrace_flat_item(flattened_group),
                if(empty(flattened_kind), [], llmtrace_by_index(flattened_kind))
            )),
            [
                arrayFilter(
                    flattened_1 -> flattened_1.4 IN ('gen_ai.prompt', 'llm.input_messages', 'embedding.embeddings'),
                    flattened_elements
                ),
                arrayFilter(
                    flattened_2 -> flattened_2.4 IN ('gen_ai.completion', 'llm.output_messages'),
                    flattened_elements
                ),
                arrayFilter(
                    flattened_3 -> flattened_3.4 IN ('llm.request.functions', 'llm.tools'),
                    flattened_elements
                ),
                arrayFilter(
                    flattened_4 -> flattened_4.4 IN ('retrieval.documents'),
                    flattened_elements
                )
            ]
        ),
        [llmtrace_elements(keys, texts)]
    )[1];

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

CREATE OR REPLACE FUNCTION llmtrace_message_parts AS (body) ->
    concat(
        '{"role":', replaceOne(toJSONString(JSONExtractString(body, 'role')), '"model"', '"assistant"'),
        ',"parts":',
        llmtrace_json_array(arrayMap(
            message_part -> llmtrace_part(message_part),
            arrayConcat(llmtrace_message_content(body), JSONExtractArrayRaw(body, 'tool_calls'))
        ))
    );

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

CREATE OR REPLACE FUNCTION llmtrace_own_or_translated AS (own, translated, scope) ->
    multiIf(
        scope IN ('pydantic-ai', 'litellm'), translated,
        position(own, '"parts"') = 0, translated,
        match(own, '"type": ?"thinking"'), translated,
        own
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_named AS (text) ->
    if(
        text = '',
        '',
        transform(
            lower(text),
            ['chat', 'text_completion', 'completion', 'acompletion', 'embedding', 'embeddings', 'aembedding',
'message', 'messages', 'responses', 'aresponses', 'anthropic_messages', 'chat.completions',
'chat.streaming_completions', 'text.completions', 'text.streaming_completions'],
            ['chat', 'text_completion', 'text_completion', 'chat', 'embeddings', 'embeddings', 'embeddings',
'chat', 'chat', 'chat', 'chat', 'chat', 'chat', 'chat', 'text_completion', 'text_completion'],
            text
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_by_openinference_span_kind AS (text) ->
    transform(
        lower(text),
        ['llm', 'embedding', 'retriever', 'tool', 'agent', 'chain', 'reranker'],
        ['chat', 'embeddings', 'retrieval', 'execute_tool', 'invoke_agent', 'invoke_workflow', 'rerank'],
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_by_llm_request_type AS (text) ->
    transform(
        lower(text),
        ['chat', 'completion', 'acompletion', 'embedding', 'aembedding', 'rerank'],
        ['chat', 'text_completion', 'chat', 'embeddings', 'embeddings', 'rerank'],
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_by_ai_operation_id AS (text) ->
    transform(
        lower(text),
        ['ai.generatetext', 'ai.streamtext', 'ai.generateobject', 'ai.streamobject', 'ai.generatetext.dogenerate',
'ai.streamtext.dostream', 'ai.generateobject.dogenerate', 'ai.streamobject.dostream', 'ai.embed',
'ai.embedmany', 'ai.embed.doembed', 'ai.embedmany.doembed', 'ai.rerank', 'ai.toolcall'],
        ['invoke_agent', 'invoke_agent', 'invoke_agent', 'invoke_agent', 'chat', 'chat', 'chat', 'chat',
'invoke_workflow', 'invoke_workflow', 'embeddings', 'embeddings', 'rerank', 'execute_tool'],
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_by_langfuse_observation_type AS (text) ->
    transform(
        lower(text),
        ['generation', 'embedding', 'tool', 'retriever', 'agent', 'chain'],
        ['chat', 'embeddings', 'execute_tool', 'retrieval', 'invoke_agent', 'invoke_workflow'],
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_by_mlflow_span_type AS (text) ->
    transform(
        lower(text),
        ['llm', 'chat_model', 'embedding', 'tool', 'retriever', 'agent', 'chain', 'workflow', 'reranker'],
        ['chat', 'chat', 'embeddings', 'execute_tool', 'retrieval', 'invoke_agent', 'invoke_workflow',
'invoke_workflow', 'rerank'],
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_by_traceloop_span_kind AS (text) ->
    transform(
        lower(text),
        ['workflow', 'agent', 'tool'],
        ['invoke_workflow', 'invoke_agent', 'execute_tool'],
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_by_span_type AS (text) ->
    transform(
        lower(text),
        ['llm', 'embedding', 'tool', 'flow', 'retrieval'],
        ['chat', 'embeddings', 'execute_tool', 'invoke_workflow', 'retrieval'],
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_operation_in_scope AS (operation, scope) ->
    arrayMap(
        operation_text -> multiIf(
            scope NOT IN ('litellm', 'opentelemetry.instrumentation.anthropic'), operation_text,
            operation_text = 'text_completion', 'chat',
            operation_text
        ),
        [operation]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_image_part AS (image_url) ->
    arrayMap(
        image_part_url -> if(
            startsWith(image_part_url, 'data:'),
            concat(
                '{"type":"blob","modality":"image","mime_type":',
                toJSONString(extract(image_part_url, '^data:([^;,]*)')),
                ',"content":',
                toJSONString(substring(image_part_url, position(image_part_url, ',') + 1)),
                '}'
            ),
            concat('{"type":"uri","modality":"image","uri":', toJSONString(image_part_url), '}')
        ),
        [image_url]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_image_url AS (part) ->
    llmtrace_first([
        JSONExtractString(part, 'image_url', 'url'),
        JSONExtractString(part, 'image_url'),
        JSONExtractString(part, 'url'),
        JSONExtractString(part, 'source', 'url')
    ]);

CREATE OR REPLACE FUNCTION llmtrace_blob_part AS (part) ->
    concat(
        '{"type":"blob","mime_type":',
        llmtrace_quoted(llmtrace_first([
            JSONExtractString(part, 'media_type'),
            JSONExtractString(part, 'mediaType'),
            JSONExtractString(part, 'source', 'media_type')
        ])),
        ',"content":',
        llmtrace_quoted(llmtrace_first([
            JSONExtractString(part, 'content'),
            JSONExtractString(part, 'source', 'data'),
            JSONExtractString(part, 'data')
        ])),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_tool_call_part AS (part) ->
    concat(
        '{"type":"tool_call","id":',
        llmtrace_quoted(llmtrace_first([
            JSONExtractString(part, 'id'),
            JSONExtractString(part, 'toolCallId'),
            JSONExtractString(part, 'toolUse', 'toolUseId'),
            JSONExtractString(part, 'function_call', 'id')
        ])),
        ',"name":',
        llmtrace_quoted(llmtrace_first([
            JSONExtractString(part, 'function', 'name'),
            JSONExtractString(part, 'name'),
            JSONExtractString(part, 'toolName'),
            JSONExtractString(part, 'toolUse', 'name'),
            JSONExtractString(part, 'function_call', 'name')
        ])),
        ',"arguments":',
        llmtrace_json_value(llmtrace_first([
            JSONExtractRaw(part, 'function', 'arguments'),
            JSONExtractRaw(part, 'input'),
            JSONExtractRaw(part, 'args'),
            JSONExtractRaw(part, 'arguments'),
            JSONExtractRaw(part, 'toolUse', 'input'),
            JSONExtractRaw(part, 'function_call', 'args')
        ])),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_tool_response_part AS (part) ->
    concat(
        '{"type":"tool_call_response","id":',
        llmtrace_quoted(llmtrace_first([
            JSONExtractString(part, 'tool_use_id'),
            JSONExtractString(part, 'toolCallId'),
            JSONExtractString(part, 'id'),
            JSONExtractString(part, 'toolResult', 'toolUseId'),
            JSONExtractString(part, 'function_response', 'id')
        ])),
        ',"response":',
        llmtrace_json_value(llmtrace_first([
            JSONExtractRaw(part, 'response'),
            JSONExtractRaw(part, 'content'),
            JSONExtractRaw(part, 'result'),
            JSONExtractRaw(part, 'output', 'value'),
            JSONExtractRaw(part, 'output'),
            JSONExtractRaw(part, 'toolResult', 'content'),
            JSONExtractRaw(part, 'function_response', 'response')
        ])),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_reasoning_part AS (part) ->
    concat(
        '{"type":"reasoning","content":',
        llmtrace_quoted(llmtrace_first([
            JSONExtractString(part, 'thinking'),
            JSONExtractString(part, 'content'),
            JSONExtractString(part, 'text'),
            JSONExtractString(part, 'reasoningContent', 'reasoningText', 'text')
        ])),
        '}'
    );

CREATE OR REPLACE FUNCTION llmtrace_text_part AS (content) ->
    concat('{"type":"text","content":', content, '}');

CREATE OR REPLACE FUNCTION llmtrace_part AS (part) ->
    multiIf(
        JSONType(part) = 'String', llmtrace_text_part(part),
        JSONExtractString(part, 'type') IN ('', 'text', 'input_text', 'output_text') AND JSONHas(part, 'text')
            AND NOT JSONExtractBool(part, 'thought'),
        llmtrace_text_part(llmtrace_quoted(JSONExtractString(part, 'text'))),
        JSONExtractString(part, 'type') IN ('thinking', 'reasoning') OR JSONHas(part, 'reasoningContent')
            OR JSONExtractBool(part, 'thought'),
        llmtrace_reasoning_part(part),
        JSONExtractString(part, 'type') IN ('tool_result', 'tool-result') OR JSONHas(part, 'toolResult')
            OR JSONHas(part, 'function_response')
            OR JSONExtractString(part, 'type') = 'tool_call_response' AND JSONHas(part, 'result'),
        llmtrace_tool_response_part(part),
        JSONExtractString(part, 'type') IN ('tool_use', 'tool-call', 'function')
            OR JSONHas(part, 'function') OR JSONHas(part, 'toolCallId') OR JSONHas(part, 'toolUse')
            OR JSONHas(part, 'function_call'),
        llmtrace_tool_call_part(part),
        JSONExtractString(part, 'type') IN ('image_url', 'image-url', 'input_image')
            OR JSONHas(part, 'source', 'url'),
        llmtrace_image_part(llmtrace_image_url(part)),
        JSONExtractString(part, 'type') = 'binary'
            OR JSONExtractString(part, 'type') = 'file' AND JSONHas(part, 'mediaType')
            OR JSONExtractString(part, 'type') = 'image' AND JSONHas(part, 'source'),
        llmtrace_blob_part(part),
        JSONHas(part, 'image', 'format'),
        concat(
            '{"type":"blob","modality":"image","mime_type":',
            toJSONString(concat('image/', JSONExtractString(part, 'image', 'format'))),
            ',"content":', llmtrace_quoted(JSONExtractString(part, 'image', 'source', 'bytes')),
            '}'
        ),
        JSONExtractString(part, 'type') = '', llmtrace_text_part(toJSONString(part)),
        part
    );

CREATE OR REPLACE FUNCTION llmtrace_provider_name AS (text) ->
    transform(
        lower(text),
        ['openai', 'openai.chat', 'openai.responses', 'openai.completion', 'openai.embedding', 'openai.image',
'openai.speech', 'openai.transcription', 'openai-chat', 'openai-responses', 'openai_chat',
'openai_responses', 'chatopenai', 'text-completion-openai', 'azure.ai.openai', 'az.ai.openai',
'azure', 'azure-openai', 'azure-openai.chat', 'azure-openai.responses', 'azure.chat', 'azure.responses',
'azure_openai', 'azureopenai', 'azure openai', 'azure_text', 'microsoft azure', 'azure.ai.inference',
'az.ai.inference', 'az.ai.agents', 'azure_ai', 'azure-ai', 'azure.ai.agents', 'azureml', 'anthropic',
'anthropic.messages', 'anthropic-chat', 'chatanthropic', 'claude', 'aws.bedrock', 'amazon-bedrock',
'amazon_bedrock', 'amazon', 'aws', 'aws_bedrock', 'bedrock', 'bedrock_converse', 'bedrock-converse',
'bedrock-runtime', 'chatbedrock', 'chatbedrockconverse', 'aws.sagemaker', 'sagemaker', 'sagemaker_chat',
'aws_sagemaker', 'sagemaker_endpoint', 'gcp.gemini', 'gemini', 'google', 'google.generative-ai',
'google.generativeai', 'google_genai', 'google-genai', 'google_generative_ai', 'google-gla',
'google_ai', 'generative_ai', 'palm', 'gcp.vertex_ai', 'vertex_ai', 'vertexai', 'vertex', 'google-vertex',
'google_vertex', 'google_vertexai', 'google.vertex', 'google.vertex.chat', 'google.vertex.anthropic.messages',
'vertex_ai_beta', 'google_anthropic_vertex', 'gcp.gen_ai', 'mistral_ai', 'mistralai', 'mistral',
'mistral.chat', 'codestral', 'text-completion-codestral', 'cohere', 'cohere.chat', 'cohere_chat',
'cohere.textembedding', 'groq', 'groq.chat', 'chatgroq', 'deepseek', 'deepseek.chat', 'deep_seek',
'x_ai', 'xai', 'x-ai', 'xai.chat', 'xai.responses', 'grok', 'perplexity', 'perplexity.chat',
'perplexity-ai', 'perplexity_ai', 'moonshot_ai', 'moonshot', 'moonshotai', 'moonshot.chat',
'kimi', 'ibm.watsonx.ai', 'watsonx', 'watsonx_text', 'ibm', 'ibm_watsonx', 'watson', 'openrouter',
'openrouter.chat', 'open_router', 'together_ai', 'together', 'together-ai', 'togetherai', 'togetherai.chat',
'fireworks_ai', 'fireworks', 'fireworks-ai', 'fireworks.chat', 'cerebras', 'cerebras.chat',
'cerebras-ai', 'hugging_face', 'huggingface', 'hugging-face', 'hugging face', 'hf', 'hugging_face.cerebras',
'huggingface_cerebras', 'huggingface/cerebras', 'hugging_face.fireworks_ai', 'huggingface_fireworks-ai',
'huggingface/fireworks-ai', 'hugging_face.groq', 'huggingface_groq', 'huggingface/groq', 'hugging_face.hyperbolic',
'huggingface_hyperbolic', 'huggingface/hyperbolic', 'hugging_face.nebius', 'huggingface_nebius',
'huggingface/nebius', 'hugging_face.novita', 'huggingface_novita', 'huggingface/novita', 'hugging_face.nscale',
'huggingface_nscale', 'huggingface/nscale', 'hugging_face.ovhcloud', 'huggingface_ovhcloud',
'huggingface/ovhcloud', 'hugging_face.publicai', 'huggingface_publicai', 'huggingface/publicai',
'hugging_face.sambanova', 'huggingface_sambanova', 'huggingface/sambanova', 'hugging_face.together',
'huggingface_together', 'huggingface/together', 'ai21', 'ai21_chat', 'aleph_alpha', 'aleph-alpha',
'alephalpha', 'arcee', 'arcee_ai', 'avian', 'baseten', 'cloudflare', 'workers-ai', 'workers_ai',
'cloudflare-workers-ai', 'cursor', 'databricks', 'databricks.chat', 'deepinfra', 'deep_infra',
'doubleword', 'elevenlabs', 'eleven_labs', 'github_copilot', 'copilot', 'github_models', 'github',
'hyperbolic', 'jina', 'jina_ai', 'jinaai', 'lambda', 'lambda_ai', 'meta', 'meta_llama', 'modal',
'nebius', 'novita', 'novita_ai', 'nscale', 'nvidia', 'nvidia_nim', 'nvidia_ai_endpoints', 'nim',
'ovhcloud', 'ovh', 'quicksilverpro', 'replicate', 'sambanova', 'sambanovacloud', 'scaleway',
'snowflake', 'typesafe', 'vercel', 'vercel_ai_gateway', 'gateway', 'voyageai', 'voyage', 'voyage_ai',
'voyage-ai', 'writer', 'zai', 'z.ai', 'z-ai', 'alibaba', 'dashscope', 'qwen', 'tongyi', 'bailian',
'alibaba_cloud', 'aliyun', 'baichuan', 'hunyuan', 'tencent', 'tencent_hunyuan', 'lkeap', 'lingyiwanwu',
'01-ai', '01ai', 'yi', 'minimax', 'minimaxi', 'mini_max', 'modelscope', 'qianfan', 'baidu',
'baidu_qianfan', 'ernie', 'wenxin', 'siliconflow', 'silicon_flow', 'spark', 'iflytek', 'xfyun',
'stepfun', 'step', 'volcengine', 'volcengine_ark', 'ark', 'doubao', 'bytedance', 'byteplus',
'zhipuai', 'zhipu', 'bigmodel', 'chatglm', 'glm', 'llama.cpp', 'llama_cpp', 'llamacpp', 'llama-cpp',
'llamafile', 'llmtrace', 'lm_studio', 'lmstudio', 'lm-studio', 'ollama', 'ollama_chat', 'ollama.chat',
'ollama.completion', 'chatollama', 'sglang', 'sgl', 'tensorflow_serving', 'tf_serving', 'tensorflow-serving',
'tgi', 'text-generation-inference', 'text_generation_inference', 'transformers', 'triton',
'triton_inference_server', 'vllm', 'hosted_vllm', 'vllm.llm_engine', 'vllm_openai', 'ag2',
'agents', 'agno', 'aisuite', 'autogen', 'autogen-core', 'autogen-ext', 'autogen_core', 'beeai',
'browser-use', 'browser_use', 'camel', 'crew_ai', 'crewai', 'custom', 'dspy', 'gcp.vertex.agent',
'genkit', 'google-adk', 'google_adk', 'guidance', 'haystack', 'instructor', 'langchain', 'langchain_core',
'langfuse', 'langgraph', 'litellm', 'litellm-proxy', 'litellm_proxy', 'llama-index', 'llama_index',
'llamaindex', 'logfire', 'mastra', 'mcp', 'microsoft.agent_framework', 'microsoft.agents',
'microsoft.semantic_kernel', 'microsoft.semantickernel', 'mirascope', 'mlflow', 'model', 'none',
'null', 'openai-', 'openai_agents', 'opentelemetry', 'other', 'portkey', 'prompt_flow', 'promptflow',
'pydantic-ai', 'pydantic_ai', 'semantic-kernel', 'semantic_kernel', 'smolagents', 'strands',
'strands-agents', 'strands_agents', 'traceloop', 'undefined', 'unknown'],
        ['openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai',
'openai', 'openai', 'openai', 'openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai',
'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai',
'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai',
'azure.ai.inference', 'azure.ai.inference', 'azure.ai.inference', 'azure.ai.inference', 'azure.ai.inference',
'azure.ai.inference', 'azure.ai.inference', 'anthropic', 'anthropic', 'anthropic', 'anthropic',
'anthropic', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock',
'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.sagemaker',
'aws.sagemaker', 'aws.sagemaker', 'aws.sagemaker', 'aws.sagemaker', 'gcp.gemini', 'gcp.gemini',
'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini',
'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai',
'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai',
'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.gen_ai', 'mistral_ai', 'mistral_ai',
'mistral_ai', 'mistral_ai', 'mistral_ai', 'mistral_ai', 'cohere', 'cohere', 'cohere', 'cohere',
'groq', 'groq', 'groq', 'deepseek', 'deepseek', 'deepseek', 'x_ai', 'x_ai', 'x_ai', 'x_ai',
'x_ai', 'x_ai', 'perplexity', 'perplexity', 'perplexity', 'perplexity', 'moonshot_ai', 'moonshot_ai',
'moonshot_ai', 'moonshot_ai', 'moonshot_ai', 'ibm.watsonx.ai', 'ibm.watsonx.ai', 'ibm.watsonx.ai',
'ibm.watsonx.ai', 'ibm.watsonx.ai', 'ibm.watsonx.ai', 'openrouter', 'openrouter', 'openrouter',
'together_ai', 'together_ai', 'together_ai', 'together_ai', 'together_ai', 'fireworks_ai',
'fireworks_ai', 'fireworks_ai', 'fireworks_ai', 'cerebras', 'cerebras', 'cerebras', 'hugging_face',
'hugging_face', 'hugging_face', 'hugging_face', 'hugging_face', 'hugging_face.cerebras', 'hugging_face.cerebras',
'hugging_face.cerebras', 'hugging_face.fireworks_ai', 'hugging_face.fireworks_ai', 'hugging_face.fireworks_ai',
'hugging_face.groq', 'hugging_face.groq', 'hugging_face.groq', 'hugging_face.hyperbolic', 'hugging_face.hyperbolic',
'hugging_face.hyperbolic', 'hugging_face.nebius', 'hugging_face.nebius', 'hugging_face.nebius',
'hugging_face.novita', 'hugging_face.novita', 'hugging_face.novita', 'hugging_face.nscale',
'hugging_face.nscale', 'hugging_face.nscale', 'hugging_face.ovhcloud', 'hugging_face.ovhcloud',
'hugging_face.ovhcloud', 'hugging_face.publicai', 'hugging_face.publicai', 'hugging_face.publicai',
'hugging_face.sambanova', 'hugging_face.sambanova', 'hugging_face.sambanova', 'hugging_face.together',
'hugging_face.together', 'hugging_face.together', 'ai21', 'ai21', 'aleph_alpha', 'aleph_alpha',
'aleph_alpha', 'arcee', 'arcee', 'avian', 'baseten', 'cloudflare', 'cloudflare', 'cloudflare',
'cloudflare', 'cursor', 'databricks', 'databricks', 'deepinfra', 'deepinfra', 'doubleword',
'elevenlabs', 'elevenlabs', 'github_copilot', 'github_copilot', 'github_models', 'github_models',
'hyperbolic', 'jina', 'jina', 'jina', 'lambda', 'lambda', 'meta', 'meta', 'modal', 'nebius',
'novita', 'novita', 'nscale', 'nvidia', 'nvidia', 'nvidia', 'nvidia', 'ovhcloud', 'ovhcloud',
'quicksilverpro', 'replicate', 'sambanova', 'sambanova', 'scaleway', 'snowflake', 'typesafe',
'vercel', 'vercel', 'vercel', 'voyageai', 'voyageai', 'voyageai', 'voyageai', 'writer', 'zai',
'zai', 'zai', 'alibaba', 'alibaba', 'alibaba', 'alibaba', 'alibaba', 'alibaba', 'alibaba',
'baichuan', 'hunyuan', 'hunyuan', 'hunyuan', 'hunyuan', 'lingyiwanwu', 'lingyiwanwu', 'lingyiwanwu',
'lingyiwanwu', 'minimax', 'minimax', 'minimax', 'modelscope', 'qianfan', 'qianfan', 'qianfan',
'qianfan', 'qianfan', 'siliconflow', 'siliconflow', 'spark', 'spark', 'spark', 'stepfun', 'stepfun',
'volcengine', 'volcengine', 'volcengine', 'volcengine', 'volcengine', 'volcengine', 'zhipuai',
'zhipuai', 'zhipuai', 'zhipuai', 'zhipuai', 'llama.cpp', 'llama.cpp', 'llama.cpp', 'llama.cpp',
'llama.cpp', 'llmtrace', 'lm_studio', 'lm_studio', 'lm_studio', 'ollama', 'ollama', 'ollama',
'ollama', 'ollama', 'sglang', 'sglang', 'tensorflow_serving', 'tensorflow_serving', 'tensorflow_serving',
'tgi', 'tgi', 'tgi', 'transformers', 'triton', 'triton', 'vllm', 'vllm', 'vllm', 'vllm', '',
'', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '',
'', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '',
'', '', '', '', '', '', '', '', '', '', '', '', '', '', '', ''],
        text
    );

CREATE OR REPLACE FUNCTION llmtrace_named_provider AS (scope, words) ->
    llmtrace_first(arrayConcat(
        [transform(scope, ['vllm', 'vllm.llm_engine', 'vllm.entrypoints', 'opentelemetry.instrumentation.ollama', 'text-generation-inference',
'text_generation_router'], ['vllm', 'vllm', 'vllm', 'ollama', 'tgi', 'tgi'], '')],
        arrayMap(provider_word -> llmtrace_provider_name(provider_word), words)
    ));

CREATE OR REPLACE FUNCTION llmtrace_host AS (text) ->
    lower(extract(text, '^(?:[a-zA-Z]+://)?(?:[^/@]*@)?([^/:?#]+)'));

CREATE OR REPLACE FUNCTION llmtrace_group AS (groups) -> arrayFirstIndex(group -> group != '', groups);

CREATE OR REPLACE FUNCTION llmtrace_provider_of_host AS (host) ->
    llmtrace_first([
        transform(
            llmtrace_group(extractGroups(host, '((?:^|[.])bedrock[a-z0-9-]*\\.[a-z0-9-]*\\.amazonaws\\.com$)|((?:^|[.])bedrock[a-z0-9-]*\\.[a-z0-9-]*\\.amazonaws\\.com\\.cn$)|((?:^|[.])bedrock[a-z0-9-]*\\.[a-z0-9-]*\\.vpce\\.amazonaws\\.com$)|((?:^|[.])bedrock[a-z0-9-]*\\.[a-z0-9-]*\\.api\\.aws$)|((?:^|[.])runtime\\.sagemaker[a-z0-9-]*\\.[a-z0-9-]*\\.amazonaws\\.com$)|((?:^|[.])[a-z0-9-]*\\-aiplatform\\.googleapis\\.com$)|((?:^|[.])aiplatform\\.[a-z0-9-]*\\.rep\\.googleapis\\.com$)|((?:^|[.])qianfan\\.[a-z0-9-]*\\.baidubce\\.com$)|((?:^|[.])ark\\.[a-z0-9-]*\\.volces\\.com$)|((?:^|[.])ark\\.[a-z0-9-]*\\.bytepluses\\.com$)')),
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            ['aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.sagemaker', 'gcp.vertex_ai',
'gcp.vertex_ai', 'qianfan', 'volcengine', 'volcengine'],
            ''
        ),
        transform(
            extract(host, '(?:^|[.])(api\\.openai\\.com|oai\\.helicone\\.ai|oai\\.hconeai\\.com|openai\\.azure\\.com|openai\\.azure\\.us|openai\\.azure\\.cn|azure\\-api\\.net|cognitiveservices\\.azure\\.com|cognitiveservices\\.azure\\.us|inference\\.ai\\.azure\\.com|models\\.ai\\.azure\\.com|services\\.ai\\.azure\\.com|ai\\.azure\\.com|api\\.anthropic\\.com|anthropic\\.helicone\\.ai|anthropic\\.hconeai\\.com|generativelanguage\\.googleapis\\.com|aiplatform\\.googleapis\\.com|googleapis\\.com|api\\.mistral\\.ai|codestral\\.mistral\\.ai|api\\.cohere\\.ai|api\\.cohere\\.com|api\\.groq\\.com|api\\.deepseek\\.com|api\\.x\\.ai|api\\.perplexity\\.ai|api\\.moonshot\\.ai|api\\.moonshot\\.cn|api\\.moonshot\\.com|ml\\.cloud\\.ibm\\.com|openrouter\\.ai|api\\.together\\.xyz|api\\.together\\.ai|api\\.fireworks\\.ai|api\\.cerebras\\.ai|huggingface\\.co|huggingface\\.cloud|api\\.ai21\\.com|api\\.aleph\\-alpha\\.com|api\\.arcee\\.ai|api\\.avian\\.io|inference\\.baseten\\.co|api\\.baseten\\.co|api\\.cloudflare\\.com|api\\.cursor\\.com|cloud\\.databricks\\.com|azuredatabricks\\.net|gcp\\.databricks\\.com|databricks\\.com|api\\.deepinfra\\.com|api\\.doubleword\\.ai|elevenlabs\\.io|api\\.githubcopilot\\.com|githubcopilot\\.com|models\\.github\\.ai|api\\.hyperbolic\\.xyz|api\\.jina\\.ai|api\\.lambda\\.ai|api\\.lambdalabs\\.com|api\\.meta\\.ai|api\\.llama\\.com|modal\\.run|modal\\.direct|api\\.studio\\.nebius\\.ai|api\\.studio\\.nebius\\.com|api\\.tokenfactory\\.nebius\\.com|api\\.novita\\.ai|inference\\.api\\.nscale\\.com|integrate\\.api\\.nvidia\\.com|endpoints\\.kepler\\.ai\\.cloud\\.ovh\\.net|ai\\.cloud\\.ovh\\.net|api\\.quicksilverpro\\.io|api\\.replicate\\.com|stream\\.replicate\\.com|api\\.sambanova\\.ai|api\\.scaleway\\.ai|snowflakecomputing\\.com|api\\.typesafe\\.ai|ai\\-gateway\\.vercel\\.sh|api\\.voyageai\\.com|api\\.writer\\.com|api\\.z\\.ai|dashscope\\.aliyuncs\\.com|dashscope\\-intl\\.aliyuncs\\.com|dashscope\\-us\\.aliyuncs\\.com|maas\\.aliyuncs\\.com|api\\.baichuan\\-ai\\.com|api\\.hunyuan\\.cloud\\.tencent\\.com|hunyuan\\.tencentcloudapi\\.com|api\\.lkeap\\.cloud\\.tencent\\.com|lkeap\\.tencentcloudapi\\.com|api\\.lingyiwanwu\\.com|api\\.minimax\\.com|api\\.minimax\\.io|api\\.minimaxi\\.com|api\\.minimaxi\\.io|api\\.minimax\\.chat|api\\-uw\\.minimax\\.io|api\\-inference\\.modelscope\\.cn|qianfan\\.baidubce\\.com|aip\\.baidubce\\.com|api\\.siliconflow\\.cn|api\\.siliconflow\\.com|spark\\-api\\-open\\.xf\\-yun\\.com|spark\\-api\\.xf\\-yun\\.com|api\\.stepfun\\.com|api\\.stepfun\\.ai|open\\.bigmodel\\.cn|ollama\\.com)$'),
            ['api.openai.com', 'oai.helicone.ai', 'oai.hconeai.com', 'openai.azure.com', 'openai.azure.us',
'openai.azure.cn', 'azure-api.net', 'cognitiveservices.azure.com', 'cognitiveservices.azure.us',
'inference.ai.azure.com', 'models.ai.azure.com', 'services.ai.azure.com', 'ai.azure.com', 'api.anthropic.com',
'anthropic.helicone.ai', 'anthropic.hconeai.com', 'generativelanguage.googleapis.com', 'aiplatform.googleapis.com',
'googleapis.com', 'api.mistral.ai', 'codestral.mistral.ai', 'api.cohere.ai', 'api.cohere.com',
'api.groq.com', 'api.deepseek.com', 'api.x.ai', 'api.perplexity.ai', 'api.moonshot.ai', 'api.moonshot.cn',
'api.moonshot.com', 'ml.cloud.ibm.com', 'openrouter.ai', 'api.together.xyz', 'api.together.ai',
'api.fireworks.ai', 'api.cerebras.ai', 'huggingface.co', 'huggingface.cloud', 'api.ai21.com',
'api.aleph-alpha.com', 'api.arcee.ai', 'api.avian.io', 'inference.baseten.co', 'api.baseten.co',
'api.cloudflare.com', 'api.cursor.com', 'cloud.databricks.com', 'azuredatabricks.net', 'gcp.databricks.com',
'databricks.com', 'api.deepinfra.com', 'api.doubleword.ai', 'elevenlabs.io', 'api.githubcopilot.com',
'githubcopilot.com', 'models.github.ai', 'api.hyperbolic.xyz', 'api.jina.ai', 'api.lambda.ai',
'api.lambdalabs.com', 'api.meta.ai', 'api.llama.com', 'modal.run', 'modal.direct', 'api.studio.nebius.ai',
'api.studio.nebius.com', 'api.tokenfactory.nebius.com', 'api.novita.ai', 'inference.api.nscale.com',
'integrate.api.nvidia.com', 'endpoints.kepler.ai.cloud.ovh.net', 'ai.cloud.ovh.net', 'api.quicksilverpro.io',
'api.replicate.com', 'stream.replicate.com', 'api.sambanova.ai', 'api.scaleway.ai', 'snowflakecomputing.com',
'api.typesafe.ai', 'ai-gateway.vercel.sh', 'api.voyageai.com', 'api.writer.com', 'api.z.ai',
'dashscope.aliyuncs.com', 'dashscope-intl.aliyuncs.com', 'dashscope-us.aliyuncs.com', 'maas.aliyuncs.com',
'api.baichuan-ai.com', 'api.hunyuan.cloud.tencent.com', 'hunyuan.tencentcloudapi.com', 'api.lkeap.cloud.tencent.com',
'lkeap.tencentcloudapi.com', 'api.lingyiwanwu.com', 'api.minimax.com', 'api.minimax.io', 'api.minimaxi.com',
'api.minimaxi.io', 'api.minimax.chat', 'api-uw.minimax.io', 'api-inference.modelscope.cn',
'qianfan.baidubce.com', 'aip.baidubce.com', 'api.siliconflow.cn', 'api.siliconflow.com', 'spark-api-open.xf-yun.com',
'spark-api.xf-yun.com', 'api.stepfun.com', 'api.stepfun.ai', 'open.bigmodel.cn', 'ollama.com'],
            ['openai', 'openai', 'openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai',
'azure.ai.openai', 'azure.ai.openai', 'azure.ai.inference', 'azure.ai.inference', 'azure.ai.inference',
'azure.ai.inference', 'anthropic', 'anthropic', 'anthropic', 'gcp.gemini', 'gcp.vertex_ai',
'gcp.gen_ai', 'mistral_ai', 'mistral_ai', 'cohere', 'cohere', 'groq', 'deepseek', 'x_ai', 'perplexity',
'moonshot_ai', 'moonshot_ai', 'moonshot_ai', 'ibm.watsonx.ai', 'openrouter', 'together_ai',
'together_ai', 'fireworks_ai', 'cerebras', 'hugging_face', 'hugging_face', 'ai21', 'aleph_alpha',
'arcee', 'avian', 'baseten', 'baseten', 'cloudflare', 'cursor', 'databricks', 'databricks',
'databricks', 'databricks', 'deepinfra', 'doubleword', 'elevenlabs', 'github_copilot', 'github_copilot',
'github_models', 'hyperbolic', 'jina', 'lambda', 'lambda', 'meta', 'meta', 'modal', 'modal',
'nebius', 'nebius', 'nebius', 'novita', 'nscale', 'nvidia', 'ovhcloud', 'ovhcloud', 'quicksilverpro',
'replicate', 'replicate', 'sambanova', 'scaleway', 'snowflake', 'typesafe', 'vercel', 'voyageai',
'writer', 'zai', 'alibaba', 'alibaba', 'alibaba', 'alibaba', 'baichuan', 'hunyuan', 'hunyuan',
'hunyuan', 'hunyuan', 'lingyiwanwu', 'minimax', 'minimax', 'minimax', 'minimax', 'minimax',
'minimax', 'modelscope', 'qianfan', 'qianfan', 'siliconflow', 'siliconflow', 'spark', 'spark',
'stepfun', 'stepfun', 'zhipuai', 'ollama'],
            ''
        )
    ]);

CREATE OR REPLACE FUNCTION llmtrace_provider_of_prefix AS (model) ->
    llmtrace_first([
        transform(
            llmtrace_group(extractGroups(model, '(^arn:aws[a-z-]*:(?:bedrock|sagemaker):)|(^(?:(?:us|us-gov|eu|apac|au|ca|jp|sa|global)\\.)?(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|stability|twelvelabs|writer|zai)\\.[a-z])|((?:^|/)publishers/[a-z0-9-]+/models/)|(^(?:models|tunedmodels)/)|(^accounts/[a-z0-9-]+/(?:models|deployments|deployedmodels)/)|(^@(?:cf|hf)/)|(^google/gemini)')),
            [1, 2, 3, 4, 5, 6, 7],
            ['aws.bedrock', 'aws.bedrock', 'gcp.vertex_ai', 'gcp.gemini', 'fireworks_ai', 'cloudflare',
'gcp.gemini'],
            ''
        ),
        transform(
            llmtrace_first([
                extract(model, '^([^/:]+)/'),
                if(match(model, 'gpt-oss|r1-distill|^[^@:/]*:([a-z0-9.-]*[0-9.]+[bm]|latest|instruct|chat|free)'), '', extract(model, '^([^/:]+):[a-z]'))
            ]),
            ['openai', 'openai.chat', 'openai.responses', 'openai.completion', 'openai.embedding', 'openai.image',
'openai.speech', 'openai.transcription', 'openai-chat', 'openai-responses', 'openai_chat',
'openai_responses', 'chatopenai', 'text-completion-openai', 'azure.ai.openai', 'az.ai.openai',
'azure', 'azure-openai', 'azure-openai.chat', 'azure-openai.responses', 'azure.chat', 'azure.responses',
'azure_openai', 'azureopenai', 'azure openai', 'azure_text', 'microsoft azure', 'azure.ai.inference',
'az.ai.inference', 'az.ai.agents', 'azure_ai', 'azure-ai', 'azure.ai.agents', 'azureml', 'anthropic',
'anthropic.messages', 'anthropic-chat', 'chatanthropic', 'claude', 'aws.bedrock', 'amazon-bedrock',
'amazon_bedrock', 'aws', 'aws_bedrock', 'bedrock', 'bedrock_converse', 'bedrock-converse',
'bedrock-runtime', 'chatbedrock', 'chatbedrockconverse', 'aws.sagemaker', 'sagemaker', 'sagemaker_chat',
'aws_sagemaker', 'sagemaker_endpoint', 'gcp.gemini', 'gemini', 'google.generative-ai', 'google.generativeai',
'google_genai', 'google-genai', 'google_generative_ai', 'google-gla', 'google_ai', 'generative_ai',
'palm', 'gcp.vertex_ai', 'vertex_ai', 'vertexai', 'vertex', 'google-vertex', 'google_vertex',
'google_vertexai', 'google.vertex', 'google.vertex.chat', 'google.vertex.anthropic.messages',
'vertex_ai_beta', 'google_anthropic_vertex', 'gcp.gen_ai', 'mistral_ai', 'mistral', 'mistral.chat',
'codestral', 'text-completion-codestral', 'cohere', 'cohere.chat', 'cohere_chat', 'cohere.textembedding',
'groq', 'groq.chat', 'chatgroq', 'deepseek', 'deepseek.chat', 'deep_seek', 'x_ai', 'xai', 'x-ai',
'xai.chat', 'xai.responses', 'grok', 'perplexity', 'perplexity.chat', 'perplexity-ai', 'perplexity_ai',
'moonshot_ai', 'moonshot', 'moonshot.chat', 'kimi', 'ibm.watsonx.ai', 'watsonx', 'watsonx_text',
'ibm_watsonx', 'watson', 'openrouter', 'openrouter.chat', 'open_router', 'together_ai', 'together',
'together-ai', 'togetherai', 'togetherai.chat', 'fireworks_ai', 'fireworks', 'fireworks-ai',
'fireworks.chat', 'cerebras', 'cerebras.chat', 'cerebras-ai', 'hugging_face', 'huggingface',
'hugging-face', 'hugging face', 'hf', 'hugging_face.cerebras', 'huggingface_cerebras', 'huggingface/cerebras',
'hugging_face.fireworks_ai', 'huggingface_fireworks-ai', 'huggingface/fireworks-ai', 'hugging_face.groq',
'huggingface_groq', 'huggingface/groq', 'hugging_face.hyperbolic', 'huggingface_hyperbolic',
'huggingface/hyperbolic', 'hugging_face.nebius', 'huggingface_nebius', 'huggingface/nebius',
'hugging_face.novita', 'huggingface_novita', 'huggingface/novita', 'hugging_face.nscale', 'huggingface_nscale',
'huggingface/nscale', 'hugging_face.ovhcloud', 'huggingface_ovhcloud', 'huggingface/ovhcloud',
'hugging_face.publicai', 'huggingface_publicai', 'huggingface/publicai', 'hugging_face.sambanova',
'huggingface_sambanova', 'huggingface/sambanova', 'hugging_face.together', 'huggingface_together',
'huggingface/together', 'ai21_chat', 'aleph_alpha', 'aleph-alpha', 'alephalpha', 'arcee', 'arcee_ai',
'avian', 'baseten', 'cloudflare', 'workers-ai', 'workers_ai', 'cloudflare-workers-ai', 'cursor',
'databricks.chat', 'deepinfra', 'deep_infra', 'doubleword', 'elevenlabs', 'eleven_labs', 'github_copilot',
'copilot', 'github_models', 'github', 'hyperbolic', 'jina', 'jina_ai', 'jinaai', 'lambda',
'lambda_ai', 'meta', 'meta_llama', 'modal', 'nebius', 'novita', 'novita_ai', 'nscale', 'nvidia_nim',
'nvidia_ai_endpoints', 'nim', 'ovhcloud', 'ovh', 'quicksilverpro', 'replicate', 'sambanova',
'sambanovacloud', 'scaleway', 'typesafe', 'vercel', 'vercel_ai_gateway', 'gateway', 'voyageai',
'voyage', 'voyage_ai', 'voyage-ai', 'zai', 'z.ai', 'z-ai', 'dashscope', 'tongyi', 'bailian',
'alibaba_cloud', 'aliyun', 'hunyuan', 'tencent_hunyuan', 'lkeap', 'lingyiwanwu', '01ai', 'yi',
'minimax', 'minimaxi', 'mini_max', 'modelscope', 'qianfan', 'baidu_qianfan', 'ernie', 'wenxin',
'siliconflow', 'silicon_flow', 'spark', 'xfyun', 'step', 'volcengine', 'volcengine_ark', 'ark',
'doubao', 'byteplus', 'zhipuai', 'zhipu', 'bigmodel', 'chatglm', 'glm', 'llama.cpp', 'llama_cpp',
'llamacpp', 'llama-cpp', 'llamafile', 'llmtrace', 'lm_studio', 'lmstudio', 'lm-studio', 'ollama',
'ollama_chat', 'ollama.chat', 'ollama.completion', 'chatollama', 'sglang', 'sgl', 'tensorflow_serving',
'tf_serving', 'tensorflow-serving', 'tgi', 'text-generation-inference', 'text_generation_inference',
'transformers', 'triton', 'triton_inference_server', 'vllm', 'hosted_vllm', 'vllm.llm_engine',
'vllm_openai'],
            ['openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai', 'openai',
'openai', 'openai', 'openai', 'openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai',
'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai',
'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai', 'azure.ai.openai',
'azure.ai.inference', 'azure.ai.inference', 'azure.ai.inference', 'azure.ai.inference', 'azure.ai.inference',
'azure.ai.inference', 'azure.ai.inference', 'anthropic', 'anthropic', 'anthropic', 'anthropic',
'anthropic', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock',
'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.bedrock', 'aws.sagemaker',
'aws.sagemaker', 'aws.sagemaker', 'aws.sagemaker', 'aws.sagemaker', 'gcp.gemini', 'gcp.gemini',
'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini', 'gcp.gemini',
'gcp.gemini', 'gcp.gemini', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai',
'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.vertex_ai',
'gcp.vertex_ai', 'gcp.vertex_ai', 'gcp.gen_ai', 'mistral_ai', 'mistral_ai', 'mistral_ai', 'mistral_ai',
'mistral_ai', 'cohere', 'cohere', 'cohere', 'cohere', 'groq', 'groq', 'groq', 'deepseek', 'deepseek',
'deepseek', 'x_ai', 'x_ai', 'x_ai', 'x_ai', 'x_ai', 'x_ai', 'perplexity', 'perplexity', 'perplexity',
'perplexity', 'moonshot_ai', 'moonshot_ai', 'moonshot_ai', 'moonshot_ai', 'ibm.watsonx.ai',
'ibm.watsonx.ai', 'ibm.watsonx.ai', 'ibm.watsonx.ai', 'ibm.watsonx.ai', 'openrouter', 'openrouter',
'openrouter', 'together_ai', 'together_ai', 'together_ai', 'together_ai', 'together_ai', 'fireworks_ai',
'fireworks_ai', 'fireworks_ai', 'fireworks_ai', 'cerebras', 'cerebras', 'cerebras', 'hugging_face',
'hugging_face', 'hugging_face', 'hugging_face', 'hugging_face', 'hugging_face.cerebras', 'hugging_face.cerebras',
'hugging_face.cerebras', 'hugging_face.fireworks_ai', 'hugging_face.fireworks_ai', 'hugging_face.fireworks_ai',
'hugging_face.groq', 'hugging_face.groq', 'hugging_face.groq', 'hugging_face.hyperbolic', 'hugging_face.hyperbolic',
'hugging_face.hyperbolic', 'hugging_face.nebius', 'hugging_face.nebius', 'hugging_face.nebius',
'hugging_face.novita', 'hugging_face.novita', 'hugging_face.novita', 'hugging_face.nscale',
'hugging_face.nscale', 'hugging_face.nscale', 'hugging_face.ovhcloud', 'hugging_face.ovhcloud',
'hugging_face.ovhcloud', 'hugging_face.publicai', 'hugging_face.publicai', 'hugging_face.publicai',
'hugging_face.sambanova', 'hugging_face.sambanova', 'hugging_face.sambanova', 'hugging_face.together',
'hugging_face.together', 'hugging_face.together', 'ai21', 'aleph_alpha', 'aleph_alpha', 'aleph_alpha',
'arcee', 'arcee', 'avian', 'baseten', 'cloudflare', 'cloudflare', 'cloudflare', 'cloudflare',
'cursor', 'databricks', 'deepinfra', 'deepinfra', 'doubleword', 'elevenlabs', 'elevenlabs',
'github_copilot', 'github_copilot', 'github_models', 'github_models', 'hyperbolic', 'jina',
'jina', 'jina', 'lambda', 'lambda', 'meta', 'meta', 'modal', 'nebius', 'novita', 'novita',
'nscale', 'nvidia', 'nvidia', 'nvidia', 'ovhcloud', 'ovhcloud', 'quicksilverpro', 'replicate',
'sambanova', 'sambanova', 'scaleway', 'typesafe', 'vercel', 'vercel', 'vercel', 'voyageai',
'voyageai', 'voyageai', 'voyageai', 'zai', 'zai', 'zai', 'alibaba', 'alibaba', 'alibaba', 'alibaba',
'alibaba', 'hunyuan', 'hunyuan', 'hunyuan', 'lingyiwanwu', 'lingyiwanwu', 'lingyiwanwu', 'minimax',
'minimax', 'minimax', 'modelscope', 'qianfan', 'qianfan', 'qianfan', 'qianfan', 'siliconflow',
'siliconflow', 'spark', 'spark', 'stepfun', 'volcengine', 'volcengine', 'volcengine', 'volcengine',
'volcengine', 'zhipuai', 'zhipuai', 'zhipuai', 'zhipuai', 'zhipuai', 'llama.cpp', 'llama.cpp',
'llama.cpp', 'llama.cpp', 'llama.cpp', 'llmtrace', 'lm_studio', 'lm_studio', 'lm_studio', 'ollama',
'ollama', 'ollama', 'ollama', 'ollama', 'sglang', 'sglang', 'tensorflow_serving', 'tensorflow_serving',
'tensorflow_serving', 'tgi', 'tgi', 'tgi', 'transformers', 'triton', 'triton', 'vllm', 'vllm',
'vllm', 'vllm'],
            ''
        )
    ]);

CREATE OR REPLACE FUNCTION llmtrace_provider_of_list AS (model) ->
    if(
        match(model, 'gpt-oss|r1-distill|^[^@:/]*:([a-z0-9.-]*[0-9.]+[bm]|latest|instruct|chat|free)'),
        '',
        transform(
            arrayStringConcat(
                arrayDistinct(arrayMap(
                    groups -> toString(llmtrace_group(groups)),
                    extractAllGroupsVertical(model, '(claude)|(cerebras)|(^command-)|(^composer-)|(^(?:databricks-|system\\.ai\\.))|(^deepseek)|(^eleven_)|(gemini)|(^(?:muse-wonder-1\\.0$|muse-spark-))|(^(?:minimax-m|minimax-01$|m2-her$))|(^(?:labs-)?(?:(?:mi|code|dev|magi|mini)stral|(?:mi|pi|vo)x?tral|open-(?:mistral|mixtral)))|(^(?:kimi|moonshot))|(^(?:ft:)?(?:gpt-|whisper-1$|tts-1|o[134])|^(?:text-embedding-(?:ada|3)|dall-e-))|(^(?:sonar|pplx-))|(^jev-)|(^voyage-)|(grok)|(^glm-)')
                )),
                ' '
            ),
            ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12', '13', '14', '15', '16', '17',
'18'],
            ['anthropic', 'cerebras', 'cohere', 'cursor', 'databricks', 'deepseek', 'elevenlabs', 'gcp.gemini',
'meta', 'minimax', 'mistral_ai', 'moonshot_ai', 'openai', 'perplexity', 'typesafe', 'voyageai',
'x_ai', 'zhipuai'],
            ''
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_provider_evidence AS (is_llm, named, host, model) ->
    multiIf(
        NOT is_llm, [named, ''],
        named NOT IN ('', 'openai', 'anthropic'), [named, ''],
        arrayFirst(
            provider_candidate -> provider_candidate[1] != '',
            [
                [llmtrace_provider_of_host(host), 'address'],
                [named, ''],
                [llmtrace_provider_of_prefix(model), 'prefix'],
                [llmtrace_provider_of_list(model), 'list'],
                ['unknown', '']
            ]
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_provider AS (evidence) -> evidence[1];

CREATE OR REPLACE FUNCTION llmtrace_provider_source AS (evidence, named) ->
    if(evidence[1] = named, '', evidence[2]);

CREATE OR REPLACE FUNCTION llmtrace_escapes_joined AS (text) ->
    if(
        position(text, '\\') > 0,
        replaceRegexpAll(
            replaceAll(replaceAll(replaceAll(replaceAll(replaceAll(
                text
            , '\\\\', '')
            , '\\n', '')
            , '\\r', '')
            , '\\t', '')
            , '\\"', '')
            , '\\\\u([0-9A-Fa-f]{4})', '\\1'
        ),
        text
    );

CREATE OR REPLACE FUNCTION llmtrace_escapes_restored AS (text) ->
    if(
        position(text, unhex('EFA3')) > 0,
        replaceAll(replaceAll(replaceAll(replaceAll(replaceAll(
            replaceRegexpAll(
                text, '([0-9A-Fa-f]{4})', '\\\\u\\1'
            )
        , '', '\\"')
        , '', '\\t')
        , '', '\\r')
        , '', '\\n')
        , '', '\\\\')
        , text
    );

CREATE OR REPLACE FUNCTION llmtrace_split_by_match AS (text, expression) ->
    splitByString(
        '',
        replaceRegexpAll(
            replaceAll(text, '', ''),
            expression,
            '\\1\\2'
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_ip_or_mark AS (matched, mark) ->
    if(
        isIPv6String(matched) AND length(replaceRegexpAll(matched, '[^0-9A-Za-z]', '')) >= 3,
        mark,
        matched
    );

CREATE OR REPLACE FUNCTION llmtrace_wide_plain AS (text) ->
    if(
        match(text, '[０-９＠]|(?i:ff1[0-9]|ff20)'),
        translateUTF8(
            replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(
                text
            , '(?i)ff1([0-9])', '\\1')
            , '(?i)ff20', '@')
            , '(?i)ff0b', '+')
            , '(?i)ff0d', '-')
            , '０１２３４５６７８９＠＋－（）．　Ｘｘ'
            , '0123456789@+-(). Xx'
        ),
        text
    );

CREATE OR REPLACE FUNCTION llmtrace_phone_or_mark AS (matched, mark) ->
    if(
        match(matched, '^[+(]') OR length(replaceRegexpAll(matched, '[^0-9]', '')) BETWEEN 10 AND 12,
        mark,
        matched
    );

CREATE OR REPLACE FUNCTION llmtrace_is_identity AS (digits) ->
    length(digits) = 18
    AND match(digits, '^[0-9]+[0-9Xx]$')
    AND arraySum(
        (identity_digit, identity_place) ->
            if(ascii(identity_digit) > 57, 10, ascii(identity_digit) - 48)
            * [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 1][identity_place],
        extractAll(digits, '.'),
        range(1, length(digits) + 1)
    ) % 11 = 1;

CREATE OR REPLACE FUNCTION llmtrace_is_card AS (digits) ->
    match(digits, '^(?:4\\d{15}(?:\\d{3})?|5[1-5]\\d{14}|2(?:22[1-9]|2[3-9]\\d|[3-6]\\d\\d|7[01]\\d|720)\\d{12}|3[47]\\d{13}|3(?:0[0-5]|[689]\\d)\\d{11}|35(?:2[89]|[3-8]\\d)\\d{12}|6[02-57]\\d{14,17}|5[06-8]\\d{14,17}|220[0-4]\\d{12}|9558\\d{15})$')
    AND arraySum(
        (card_digit, card_place) -> multiIf(
            card_place % 2 = 1, ascii(card_digit) - 48,
            ascii(card_digit) > 52, 2 * ascii(card_digit) - 105,
            2 * ascii(card_digit) - 96
        ),
        reverse(extractAll(digits, '.')),
        range(1, length(digits) + 1)
    ) % 10 = 0;

CREATE OR REPLACE FUNCTION llmtrace_is_iban AS (digits) ->
    length(digits) = transform(
        substring(digits, 1, 2), ['NO', 'BE', 'DK', 'FI', 'FO', 'GL', 'NL', 'SD', 'MK', 'SI', 'AT', 'BA', 'EE', 'KZ', 'LT', 'LU',
'MN', 'XK', 'CH', 'HR', 'LI', 'LV', 'BG', 'BH', 'CR', 'DE', 'GB', 'GE', 'IE', 'ME', 'RS', 'VA',
'AE', 'GI', 'IL', 'IQ', 'OM', 'SO', 'TL', 'AD', 'CZ', 'DZ', 'ES', 'MD', 'PK', 'RO', 'SA', 'SE',
'SK', 'TN', 'VG', 'LY', 'PT', 'ST', 'IS', 'TR', 'BI', 'DJ', 'FR', 'GR', 'IT', 'MC', 'MR', 'SM',
'AL', 'AZ', 'BY', 'CY', 'DO', 'GT', 'HN', 'HU', 'LB', 'NI', 'PL', 'SV', 'BR', 'EG', 'PS', 'QA',
'UA', 'JO', 'KW', 'MU', 'YE', 'MT', 'SC', 'LC', 'RU'], [15, 16, 18, 18, 18, 18, 18, 18, 19, 19, 20, 20, 20, 20, 20, 20, 20, 20, 21, 21, 21, 21, 22, 22, 22, 22, 22, 22, 22, 22, 22, 22, 23, 23, 23, 23, 23, 23, 23, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 25, 25, 25, 26, 26, 27, 27, 27, 27, 27, 27, 27, 27, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 29, 29, 29, 29, 29, 30, 30, 30, 30, 31, 31, 32, 33], 0
    )
    AND arrayFold(
        (iban_rest, iban_character) -> toUInt64((
            iban_rest * if(ascii(iban_character) > 64, 100, 10)
            + if(ascii(iban_character) > 64, ascii(iban_character) - 55, ascii(iban_character) - 48)
        ) % 97),
        extractAll(concat(substring(digits, 5), substring(digits, 1, 4)), '.'),
        toUInt64(0)
    ) = 1;

CREATE OR REPLACE FUNCTION llmtrace_number_beginnings AS (matched) ->
    arrayReverse(arrayMap(
        beginning_length -> substring(matched, 1, beginning_length),
        arrayFilter(
            beginning_end -> match(substring(matched, beginning_end, 1), '[0-9A-Za-z]') AND (
                beginning_end = length(matched)
                OR match(substring(matched, beginning_end + 1, 1), '[^0-9A-Za-z]')
            ),
            range(1, length(matched) + 1)
        )
    ));

CREATE OR REPLACE FUNCTION llmtrace_number_or_mark AS (matched, identity_mark, iban_mark, card_mark) ->
    arrayMap(
        number_valid -> if(
            number_valid = '',
            matched,
            concat(
                multiIf(
                    matched > 'A', iban_mark,
                    llmtrace_is_identity(replaceRegexpAll(number_valid, '[ -]', '')), identity_mark,
                    card_mark
                ),
                substring(matched, length(number_valid) + 1)
            )
        ),
        [arrayFirst(
            number_beginning -> arrayMap(
                number_digits -> if(
                    number_digits > 'A',
                    llmtrace_is_iban(number_digits),
                    llmtrace_is_card(number_digits) OR llmtrace_is_identity(number_digits)
                ),
                [replaceRegexpAll(number_beginning, '[ -]', '')]
            )[1],
            llmtrace_number_beginnings(matched)
        )]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_stated_cost AS (text, currency, currency_of_conventions) ->
    multiIf(
        upper(currency) NOT IN ('', 'USD'), NULL,
        upper(currency_of_conventions) NOT IN ('', 'USD'), NULL,
        toFloat64OrNull(extract(text, '^[0-9]{1,4}(?:[.][0-9]{0,40})?(?:[eE]-[0-9]{1,3})?$'))
    );

CREATE OR REPLACE FUNCTION llmtrace_stating AS (stated_cost, stated_by) ->
    multiIf(
        stated_cost IS NULL, '',
        stated_cost > 0, stated_by,
        stated_by IN ('openrouter', 'perplexity', 'x_ai'), stated_by,
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_cost_of_parts AS (costs) ->
    multiIf(empty(costs), '', arrayMin(costs) < 0, '-', toString(arraySum(costs)));

CREATE OR REPLACE FUNCTION llmtrace_cost_of_answer AS (answer) ->
    if(
        position(answer, '"cost') = 0,
        '',
        arrayMap(
            cost_of_usage -> multiIf(
                JSONHas(cost_of_usage, 'cost_in_usd_ticks'),
                toString(JSONExtractFloat(cost_of_usage, 'cost_in_usd_ticks') / 1e10),
                JSONType(cost_of_usage, 'cost') = 'Object', JSONExtractRaw(cost_of_usage, 'cost', 'total_cost'),
                JSONExtractBool(cost_of_usage, 'is_byok'),
                toString(
                    JSONExtractFloat(cost_of_usage, 'cost')
                        + JSONExtractFloat(cost_of_usage, 'cost_details', 'upstream_inference_cost')
                ),
                llmtrace_unquoted(JSONExtractRaw(cost_of_usage, 'cost'))
            ),
            [JSONExtractRaw(answer, 'usage')]
        )[1]
    );

CREATE OR REPLACE FUNCTION llmtrace_biller_of_answer AS (answer) ->
    arrayMap(
        biller_of_usage -> multiIf(
            JSONHas(biller_of_usage, 'cost_in_usd_ticks'), 'x_ai',
            JSONType(biller_of_usage, 'cost') = 'Object', 'perplexity',
            JSONHas(biller_of_usage, 'is_byok'), 'openrouter',
            JSONHas(biller_of_usage, 'cost_details'), 'openrouter',
            'gateway'
        ),
        [JSONExtractRaw(answer, 'usage')]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_step_kind AS (step_kind_operation) -> if(
    step_kind_operation IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'rerank', 'transcription', 'translation',
'speech', 'moderation', 'fine_tuning', 'cache_storage', 'predict', 'execute_tool', 'retrieval',
'invoke_agent', 'create_agent', 'invoke_workflow', 'degraded', 'circuit_breaker', 'approval',
'approval_request'),
    toString(step_kind_operation), 'span'
);

CREATE OR REPLACE FUNCTION llmtrace_raw_step_name AS (raw_step_operation, raw_step_span, raw_step_attributes) ->
    coalesce(
        nullIf(
            raw_step_attributes[
                transform(
                    toString(raw_step_operation),
                    ['execute_tool', 'invoke_agent', 'create_agent', 'retrieval', 'approval', 'approval_request'],
                    [
                        'gen_ai.tool.name', 'gen_ai.agent.name', 'gen_ai.agent.name', 'gen_ai.data_source.id',
                        'gen_ai.tool.name', 'gen_ai.tool.name'
                    ],
                    ''
                )
            ],
            ''
        ),
        toString(raw_step_span)
    );

CREATE OR REPLACE FUNCTION llmtrace_agent AS (agent_attributes, agent_resource, agent_key) ->
    if(agent_attributes[agent_key] != '', agent_attributes[agent_key], agent_resource[agent_key]);

CREATE OR REPLACE FUNCTION llmtrace_short_name AS (short_name) -> leftUTF8(short_name, 200);

CREATE OR REPLACE FUNCTION llmtrace_step_name AS (step_name_kind, step_name) -> llmtrace_short_name(
    if(
        step_name_kind IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'rerank', 'transcription', 'translation',
'speech', 'moderation', 'fine_tuning', 'cache_storage', 'predict'),
        step_name,
        replaceRegexpAll(
            replaceRegexpAll(
                step_name,
                '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}'
                    || '|\\b[0-9a-fA-F]{8,}\\b|[0-9]{5,}',
                '*'
            ),
            '/[0-9]+\\b', '/*'
        )
    )
);

CREATE OR REPLACE FUNCTION llmtrace_first AS (texts) ->
    arrayFirst(first_text -> first_text != '', texts);

CREATE OR REPLACE FUNCTION llmtrace_unquoted AS (text) ->
    arrayMap(
        unquoted_text -> multiIf(
            startsWith(unquoted_text, '"') AND JSONExtractString(unquoted_text) != '', JSONExtractString(unquoted_text),
            unquoted_text IN ('null', '""'), '',
            unquoted_text
        ),
        [text]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_all_unquoted AS (texts) ->
    arrayMap(all_unquoted_text -> llmtrace_unquoted(all_unquoted_text), texts);

CREATE OR REPLACE FUNCTION llmtrace_first_values AS (groups) ->
    arrayMap(first_values_group -> llmtrace_first(llmtrace_all_unquoted(first_values_group)), groups);

CREATE OR REPLACE FUNCTION llmtrace_quoted AS (text) ->
    arrayMap(quoted_text -> if(quoted_text = '', 'null', toJSONString(quoted_text)), [text])[1];

CREATE OR REPLACE FUNCTION llmtrace_json_value AS (raw) ->
    arrayMap(
        json_value_raw -> multiIf(
            json_value_raw = '', 'null',
            startsWith(json_value_raw, '"')
                AND startsWith(JSONExtractString(json_value_raw), '{')
                AND isValidJSON(JSONExtractString(json_value_raw)),
            JSONExtractString(json_value_raw),
            json_value_raw
        ),
        [raw]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_embedded AS (text) ->
    arrayMap(
        embedded_text -> multiIf(
            embedded_text = '', 'null',
            (startsWith(embedded_text, '{') OR startsWith(embedded_text, '[')) AND isValidJSON(embedded_text),
            embedded_text,
            toJSONString(embedded_text)
        ),
        [text]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_python_json AS (text) ->
    replaceAll(replaceAll(text, '\'', '"'), 'None', 'null');

CREATE OR REPLACE FUNCTION llmtrace_json_items AS (text) ->
    multiIf(
        startsWith(text, '[') AND isValidJSON(text), JSONExtractArrayRaw(text),
        startsWith(text, '{') AND isValidJSON(text), [text],
        [toJSONString(text)]
    );

CREATE OR REPLACE FUNCTION llmtrace_json_array AS (items) ->
    concat('[', arrayStringConcat(items, ','), ']');

CREATE OR REPLACE FUNCTION llmtrace_json_array_or_nothing AS (items) ->
    arrayMap(
        json_array_items -> if(empty(json_array_items), '', llmtrace_json_array(json_array_items)),
        [items]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_time_per_output_token AS (first, last, duration, tokens) ->
    multiIf(
        tokens <= 1, NULL,
        ifNull(last, duration / 1e9) > first, (ifNull(last, duration / 1e9) - first) / (tokens - 1),
        NULL
    );

CREATE OR REPLACE FUNCTION llmtrace_tpot_estimated AS (time_per_output_token, last) ->
    if(last IS NULL, time_per_output_token IS NOT NULL, false);

CREATE OR REPLACE FUNCTION llmtrace_first_token AS (seconds, milliseconds, at, started, event_names, event_times) ->
    llmtrace_first(
        arrayConcat(
            [seconds, if(milliseconds = '', '', toString(toFloat64OrZero(milliseconds) / 1000))],
            arrayMap(
                first_token_at -> if(first_token_at < started, '', toString((first_token_at - started) / 1e9)),
                [
                    ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(at, 9, 'UTC')), 0),
                    toInt64(llmtrace_first_token_event(event_names, event_times))
                ]
            )
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_first_token_event AS (event_names, event_times) ->
    arrayFirst(
        (first_token_time, first_token_name) -> first_token_name IN ('First Token Stream Event', 'gen_ai.content.completion.chunk', 'llm.content.completion.chunk',
'ai.stream.firstChunk', 'mlflow.chunk.item.0'),
        event_times,
        event_names
    );

CREATE OR REPLACE FUNCTION llmtrace_tool_schema AS (tool) ->
    llmtrace_first([
        JSONExtractRaw(tool, 'parameters'),
        JSONExtractRaw(tool, 'input_schema'),
        JSONExtractRaw(tool, 'inputSchema')
    ]);

CREATE OR REPLACE FUNCTION llmtrace_tool AS (definition) ->
    arrayMap(
        tool_function -> arrayMap(
            tool_parameters -> if(
                JSONHas(tool_function, 'name') AND tool_parameters != '',
                concat(
                    '{"type":"function","name":', JSONExtractRaw(tool_function, 'name'),
                    ',"description":', llmtrace_quoted(JSONExtractString(tool_function, 'description')),
                    ',"parameters":', tool_parameters,
                    '}'
                ),
                definition
            ),
            [llmtrace_tool_schema(tool_function)]
        )[1],
        [if(JSONHas(definition, 'function'), JSONExtractRaw(definition, 'function'), definition)]
    )[1];

CREATE OR REPLACE FUNCTION llmtrace_tools AS (text) ->
    arrayMap(
        tools_text -> if(
            tools_text = '',
            '',
            llmtrace_json_array(arrayMap(
                tools_definition -> llmtrace_tool(tools_definition),
                llmtrace_all_unquoted(llmtrace_json_items(tools_text))
            ))
        ),
        [text]
    )[1];

