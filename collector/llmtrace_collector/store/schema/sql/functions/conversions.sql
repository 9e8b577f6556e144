-- From the text of an attribute to its column, and columns that are computed from others. attributes/fields.py says
-- which column takes which of these.
--
-- Conditions follow one another where AND could join them: the columns come from a subquery, and for each AND over them
-- the engine hashes the whole of it. Without them the analysis of an insert takes a tenth less, and that of a foreign
-- one a fifth.

CREATE OR REPLACE FUNCTION llmtrace_count AS (text) -> toUInt64OrNull(text);

CREATE OR REPLACE FUNCTION llmtrace_count_or_0 AS (text) -> toUInt64OrZero(text);

-- What is negative, infinite or no number is no time. The pattern costs an insert a tenth of what comparing would, for
-- `text` stands in it once.
CREATE OR REPLACE FUNCTION llmtrace_seconds AS (text) ->
    toFloat64OrNull(extract(text, '^[0-9.]{1,30}(?:[eE][-+]?[0-9]{1,2})?$'));

-- What is not a positive number weighs as much as no weight at all.
CREATE OR REPLACE FUNCTION llmtrace_weight AS (text) ->
    multiIf(toFloat64OrZero(text) <= 0, 1, toFloat64OrZero(text) < 1e9, toFloat64OrZero(text), 1);

-- JSON of an array of strings, or one bare string.
CREATE OR REPLACE FUNCTION llmtrace_string_list AS (text) ->
    if(startsWith(text, '['), JSONExtract(text, 'Array(String)'), arrayResize([text], text != ''));

-- The conventions' words for why a model stopped; a reason that they have no word for, in lower case. Some write the
-- name of an enumeration before it, or its whole representation: FinishReason.STOP, <FinishReason.STOP: 'STOP'>.
CREATE OR REPLACE FUNCTION llmtrace_finish_reasons AS (text) ->
    arrayMap(
        finish_reason -> transform(
            finish_reason,
            [{{ finish_reasons | literals }}],
            [{{ finish_reasons.values() | literals }}],
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

-- The tier by which prices differ: '' for the standard one.
CREATE OR REPLACE FUNCTION llmtrace_service_tier AS (text, cache_hit) ->
    multiIf(
        cache_hit = 'true', {{ response_cache | literal }},
        lower(text) IN ({{ standard_tiers | literals }}), '',
        lower(text)
    );

-- What the work was for; those who said only that it was simulated did so before there was a purpose.
CREATE OR REPLACE FUNCTION llmtrace_purpose AS (of_span, of_resource, simulated) ->
    multiIf(
        of_span IN ({{ purposes | literals }}), of_span,
        of_resource IN ({{ purposes | literals }}), of_resource,
        simulated = 'true', 'simulated',
        'product'
    );

-- A number of another dialect: doubles, and JSON of a protobuf value.
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
    operation IN ({{ llm_operations | literals }});

-- A server's span inside a trace repeats the usage of the client's span above it. What a framework does by a method of
-- its own (`OpenAI._prepare_chat_with_tools`) sends nothing, though its tracer says that it calls a model; `LM.__call__`
-- is anybody's.
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

-- The last two are tokens of audio, images and video.
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

-- Equal for equal requests.
CREATE OR REPLACE FUNCTION llmtrace_prompt_hash AS (model, input, instructions, tools) ->
    if(input = '', 0, cityHash64(model, input, instructions, tools));

-- Langfuse takes tags as a list, JSON or text with commas.
CREATE OR REPLACE FUNCTION llmtrace_tags_of_dialect AS (text) ->
    multiIf(
        startsWith(text, '['), text,
        position(text, ',') > 0, toJSONString(splitByChar(',', text)),
        text
    );

-- Langfuse splits cache writes by lifetime, five minutes and an hour.
CREATE OR REPLACE FUNCTION llmtrace_cache_writes AS (total, short, long) ->
    multiIf(
        total != '', total,
        toUInt64OrZero(short) + toUInt64OrZero(long) = 0, '',
        toString(toUInt64OrZero(short) + toUInt64OrZero(long))
    );

-- Output tokens with those of reasoning in them, for dialects that leave them out: only with them does all of it add up
-- to the `total`, with the cache in the input or beside it. The other texts are numbers, or empty.
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

-- Input tokens with those of the cache in them, for dialects that leave them out.
CREATE OR REPLACE FUNCTION llmtrace_inclusive_input AS (input, cache_read, cache_write, cache_is_apart) ->
    multiIf(
        input = '', '',
        cache_is_apart, toString(toUInt64OrZero(input) + toUInt64OrZero(cache_read) + toUInt64OrZero(cache_write)),
        input
    );
