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

CREATE OR REPLACE FUNCTION llmtrace_finish_reasons AS (text) ->
    arrayMap(
        finish_reason -> transform(
            lower(finish_reason),
            [{{ finish_reasons | literals }}],
            [{{ finish_reasons.values() | literals }}],
            finish_reason
        ),
        llmtrace_string_list(text)
    );

-- A provider by the conventions' current name.
CREATE OR REPLACE FUNCTION llmtrace_provider_name AS (text) ->
    transform(
        text,
        [{{ provider_names | literals }}],
        [{{ provider_names.values() | literals }}],
        text
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

-- A server's span inside a trace repeats the usage of the client's span above it.
CREATE OR REPLACE FUNCTION llmtrace_uncounted AS (is_llm, sender_says, span_kind, parent) ->
    multiIf(
        NOT is_llm, '',
        sender_says = 'false', 'sender',
        parent = '', '',
        span_kind = 'Server', 'server',
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_counted AS (is_llm, uncounted) -> if(is_llm, uncounted = '', false);

CREATE OR REPLACE FUNCTION llmtrace_usage_fault AS (input, output, cache_read, cache_write, reasoning) ->
    multiIf(
        cache_read + cache_write > ifNull(input, 0), 'cache exceeds input',
        reasoning > ifNull(output, 0), 'reasoning exceeds output',
        ''
    );

-- Equal for equal requests.
CREATE OR REPLACE FUNCTION llmtrace_prompt_hash AS (model, input, instructions, tools) ->
    if(input = '', 0, cityHash64(model, input, instructions, tools));

-- A provider of another dialect, which may write it in capitals.
CREATE OR REPLACE FUNCTION llmtrace_provider_of_dialect AS (text) ->
    transform(
        lower(text),
        [{{ provider_names | literals }}],
        [{{ provider_names.values() | literals }}],
        text
    );

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

-- Input tokens with those of the cache in them, for dialects that leave them out.
CREATE OR REPLACE FUNCTION llmtrace_inclusive_input AS (input, cache_read, cache_write, cache_is_apart) ->
    multiIf(
        input = '', '',
        cache_is_apart, toString(toUInt64OrZero(input) + toUInt64OrZero(cache_read) + toUInt64OrZero(cache_write)),
        input
    );
