-- Messages, tools and documents in flattened keys, such as gen_ai.prompt.3.content or
-- llm.input_messages.0.message.tool_calls.1.tool_call.function.name, as JSON.
--
-- An `element` is (index, inner index, name without indices, prefix, value). Elements are sorted by their indices and
-- split into one group for each message: the time is linear in the text.

-- The elements of a span's attributes. Hostile indices are left out.
CREATE OR REPLACE FUNCTION llmtrace_elements AS (keys, texts) ->
    arraySort(
        element_sorted -> (element_sorted.1, element_sorted.2),
        arrayFilter(
            element_inner -> element_inner.2 <= {{ max_index }},
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

-- The same with only the outer index taken out of the name: (index, name, prefix, value). Vectors are left out.
CREATE OR REPLACE FUNCTION llmtrace_outer_elements AS (keys, texts) ->
    arrayFilter(
        element_known -> element_known.2 NOT IN ('', 'vector') AND element_known.1 <= {{ max_index }},
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
                    {{ ('^(' ~ indexed_prefixes | sum(start=()) | map('replace', '.', '\\.') | join('|')
                        ~ ')\\.(\\d{1,9})\\.(.+)$') | literal }}
                ),
                keys
            ),
            texts
        )
    );

-- Elements split where the outer index changes, and where the inner one does.
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

-- The value of one name within a group of elements.
CREATE OR REPLACE FUNCTION llmtrace_element AS (elements, name) ->
    arrayFirst(element_named -> element_named.3 = name, elements).5;

-- The elements of a group whose name begins so, split by their inner index.
CREATE OR REPLACE FUNCTION llmtrace_inner_groups AS (elements, prefix) ->
    llmtrace_by_inner_index(arrayFilter(inner_element -> startsWith(inner_element.3, prefix), elements));

-- A message's content as raw parts: JSON of an array of parts, or one text; a text to embed is one too.
CREATE OR REPLACE FUNCTION llmtrace_flat_content AS (elements) ->
    arrayMap(
        flat_content -> multiIf(
            startsWith(flat_content, '[{') AND isValidJSON(flat_content), JSONExtractArrayRaw(flat_content),
            flat_content IN ('', '""'), emptyArrayString(),
            [toJSONString(flat_content)]
        ),
        [llmtrace_first([llmtrace_element(elements, 'content'), llmtrace_element(elements, 'text')])]
    )[1];

-- A part of content in a group of its own: an image or text.
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

-- A member of a JSON object whose text is not empty.
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

-- The answer of a tool is JSON where it can be. OpenLLMetry had reasoning as a message of its own.
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

-- A document that was found: its id, and its score as a number.
CREATE OR REPLACE FUNCTION llmtrace_document AS (id, score) ->
    concat(
        '{"id":', llmtrace_quoted(id),
        ',"score":', llmtrace_first([extract(score, '^-?[0-9]+(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?$'), 'null']),
        '}'
    );

-- One group as JSON of a document, of a tool definition or of a chat message.
CREATE OR REPLACE FUNCTION llmtrace_flat_item AS (elements) ->
    multiIf(
        elements[1].4 = {{ indexed_documents | literal }},
        llmtrace_document(llmtrace_element(elements, 'id'), llmtrace_element(elements, 'score')),
        llmtrace_element(elements, 'json_schema') != '', llmtrace_element(elements, 'json_schema'),
        elements[1].4 IN ({{ indexed['ToolDefinitions'] | literals }}), llmtrace_flat_tool(elements),
        llmtrace_flat_message(elements)
    );

-- Input messages, output messages, tool definitions and documents of flattened keys, JSON; each '' where there are none.
CREATE OR REPLACE FUNCTION llmtrace_flattened AS (keys, texts) ->
    arrayMap(
        flattened_elements -> arrayMap(
            flattened_kind -> llmtrace_json_array_or_nothing(arrayMap(
                flattened_group -> llmtrace_flat_item(flattened_group),
                if(empty(flattened_kind), [], llmtrace_by_index(flattened_kind))
            )),
            [
{% for prefixes in indexed_prefixes %}
                arrayFilter(
                    flattened_{{ loop.index }} -> flattened_{{ loop.index }}.4 IN ({{ prefixes | literals }}),
                    flattened_elements
                ){{ "," if not loop.last }}
{% endfor %}
            ]
        ),
        [llmtrace_elements(keys, texts)]
    )[1];
