-- One part of a message of any provider's content, or a bare string, as the convention's part:
-- {"type": "text", "content": …}. `part` is raw JSON and the name of a lambda's variable: it is read many times.

-- A URL of an image, or the data that it holds.
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

-- Where providers put the URL of an image.
CREATE OR REPLACE FUNCTION llmtrace_image_url AS (part) ->
    llmtrace_first([
        JSONExtractString(part, 'image_url', 'url'),
        JSONExtractString(part, 'image_url'),
        JSONExtractString(part, 'url'),
        JSONExtractString(part, 'source', 'url')
    ]);

-- Data that stands in the part itself.
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

-- A tool that the model wants called.
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

-- What a tool answered.
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

-- What the model thought before it answered.
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

-- Text, given as JSON.
CREATE OR REPLACE FUNCTION llmtrace_text_part AS (content) ->
    concat('{"type":"text","content":', content, '}');

-- A part by what it calls itself, else by what it holds (Bedrock's Converse and Gemini have a key with the part below);
-- what nothing fits stays as it is.
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
