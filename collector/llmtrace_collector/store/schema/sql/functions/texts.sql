-- Small pieces that the other functions are made of.
--
-- A function is substituted where it stands: an argument that is used twice is computed twice, so a longer one is
-- bound to a name by arrayMap(name -> …, [argument])[1]. Names of lambdas begin with their function's name, since
-- they must be unique within the whole expression.

-- The first of the texts that is not empty; '' where all are.
CREATE OR REPLACE FUNCTION llmtrace_first AS (texts) ->
    arrayFirst(first_text -> first_text != '', texts);

-- JSON of a string as the string, JSON null as ''; any other text as it is.
CREATE OR REPLACE FUNCTION llmtrace_unquoted AS (text) ->
    arrayMap(
        unquoted_text -> multiIf(
            startsWith(unquoted_text, '"') AND JSONExtractString(unquoted_text) != '', JSONExtractString(unquoted_text),
            unquoted_text IN ('null', '""'), '',
            unquoted_text
        ),
        [text]
    )[1];

-- The same of each text.
CREATE OR REPLACE FUNCTION llmtrace_all_unquoted AS (texts) ->
    arrayMap(all_unquoted_text -> llmtrace_unquoted(all_unquoted_text), texts);

-- The first value of each group of candidates, JSON strings decoded.
CREATE OR REPLACE FUNCTION llmtrace_first_values AS (groups) ->
    arrayMap(first_values_group -> llmtrace_first(llmtrace_all_unquoted(first_values_group)), groups);

-- JSON of a string, null for none.
CREATE OR REPLACE FUNCTION llmtrace_quoted AS (text) ->
    arrayMap(quoted_text -> if(quoted_text = '', 'null', toJSONString(quoted_text)), [text])[1];

-- A JSON value as it is, but that a string which holds an object is that object; null for none.
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

-- Text as a JSON value: itself where it is an object or array, else a string; null for none.
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

-- A Python dictionary of names and numbers, as it prints itself, as JSON.
CREATE OR REPLACE FUNCTION llmtrace_python_json AS (text) ->
    replaceAll(replaceAll(text, '\'', '"'), 'None', 'null');

-- The elements of JSON text: of an array its own, of an object itself; text that is no JSON is one JSON string.
CREATE OR REPLACE FUNCTION llmtrace_json_items AS (text) ->
    multiIf(
        startsWith(text, '[') AND isValidJSON(text), JSONExtractArrayRaw(text),
        startsWith(text, '{') AND isValidJSON(text), [text],
        [toJSONString(text)]
    );

-- A JSON array of JSON texts.
CREATE OR REPLACE FUNCTION llmtrace_json_array AS (items) ->
    concat('[', arrayStringConcat(items, ','), ']');

-- The same, but '' where there are none.
CREATE OR REPLACE FUNCTION llmtrace_json_array_or_nothing AS (items) ->
    arrayMap(
        json_array_items -> if(empty(json_array_items), '', llmtrace_json_array(json_array_items)),
        [items]
    )[1];
