-- OTLP's attribute values as text, as the OpenTelemetry Collector's exporter writes them.
--
-- `value` is the tuple of otlp.proto's AnyValue: which field was sent, and the fields. Fields are read by
-- tupleElement: the engine finds `value.string_value` only after it has tried every column, at every insert.

-- A double as the Collector prints it: 1e21 is 1e+21.
CREATE OR REPLACE FUNCTION llmtrace_double_text AS (number) ->
    replaceRegexpOne(toString(number), 'e([0-9])', 'e+\\1');

-- JSON has no number for infinities and NaN: they are quoted.
CREATE OR REPLACE FUNCTION llmtrace_double_json AS (number) ->
    if(isFinite(number), llmtrace_double_text(number), concat('"', toString(number), '"'));

{# Bytes are base64; where texts are searched for patterns they go, since no pattern can be read in them. #}
{% for suffix in ['', '_without_bytes'] %}
-- A scalar of an array{{ ', bytes replaced by their mark' if suffix }}: JSON.
CREATE OR REPLACE FUNCTION llmtrace_scalar_json{{ suffix }} AS (value) ->
    multiIf(
        tupleElement(value, 'value') = 'string_value', toJSONString(tupleElement(value, 'string_value')),
        tupleElement(value, 'value') = 'int_value', toString(tupleElement(value, 'int_value')),
        tupleElement(value, 'value') = 'double_value', llmtrace_double_json(tupleElement(value, 'double_value')),
        tupleElement(value, 'value') = 'bool_value', if(tupleElement(value, 'bool_value'), 'true', 'false'),
        tupleElement(value, 'value') = 'bytes_value',
{% if suffix %}
        {{ bytes_mark | tojson | literal }},
{% else %}
        toJSONString(base64Encode(tupleElement(value, 'bytes_value'))),
{% endif %}
        'null'
    );

-- An array{{ ', bytes in it replaced by their mark' if suffix }}: JSON.
CREATE OR REPLACE FUNCTION llmtrace_array_json{{ suffix }} AS (value) ->
    llmtrace_json_array(
        arrayMap(
            array_json_item -> llmtrace_scalar_json{{ suffix }}(array_json_item),
            tupleElement(tupleElement(value, 'array_value'), 'values')
        )
    );

{% endfor %}
-- Any value; '' where none was sent.
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

-- Each value of an array of them.
CREATE OR REPLACE FUNCTION llmtrace_value_texts AS (values) ->
    arrayMap(value_texts_value -> llmtrace_value_text(value_texts_value), values);

-- What of a value is searched for patterns: strings, and arrays as JSON. Numbers are no texts, however many digits they
-- have; '' of those.
CREATE OR REPLACE FUNCTION llmtrace_searched_text AS (value) ->
    multiIf(
        tupleElement(value, 'value') = 'string_value', tupleElement(value, 'string_value'),
        tupleElement(value, 'value') = 'array_value', llmtrace_array_json_without_bytes(value),
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_searched_texts AS (values) ->
    arrayMap(searched_texts_value -> llmtrace_searched_text(searched_texts_value), values);

-- A value as text whose searched text is `cleaned` by now. No pattern can be read in bytes: they go.
CREATE OR REPLACE FUNCTION llmtrace_cleaned_text AS (value, cleaned) ->
    multiIf(
        tupleElement(value, 'value') IN ('string_value', 'array_value'), cleaned,
        tupleElement(value, 'value') = 'int_value', toString(tupleElement(value, 'int_value')),
        tupleElement(value, 'value') = 'double_value', llmtrace_double_text(tupleElement(value, 'double_value')),
        tupleElement(value, 'value') = 'bool_value', if(tupleElement(value, 'bool_value'), 'true', 'false'),
        tupleElement(value, 'value') = 'bytes_value', {{ bytes_mark | literal }},
        ''
    );

CREATE OR REPLACE FUNCTION llmtrace_cleaned_texts AS (values, cleaned) ->
    arrayMap(
        (cleaned_texts_value, cleaned_texts_text) -> llmtrace_cleaned_text(cleaned_texts_value, cleaned_texts_text),
        values,
        cleaned
    );

-- The attributes of OTLP as a Map.
CREATE OR REPLACE FUNCTION llmtrace_attributes AS (attributes) ->
    llmtrace_attribute_map(
        tupleElement(attributes, 'key'), llmtrace_value_texts(tupleElement(attributes, 'value'))
    );

-- A Map of parallel arrays of keys and values in which of a key that comes twice the last entry stays. The engine's
-- Map reads the first of two equal keys but keeps both.
CREATE OR REPLACE FUNCTION llmtrace_attribute_map AS (keys, texts) ->
    llmtrace_map_of_first(arrayReverse(keys), arrayReverse(texts));

-- The same where the last come first: the first entry of a key stays.
CREATE OR REPLACE FUNCTION llmtrace_map_of_first AS (keys, texts) ->
    CAST(
        arrayFilter(
            (map_of_first_entry, map_of_first_occurrence) -> map_of_first_occurrence = 1,
            arrayZip(keys, texts),
            arrayEnumerateUniq(keys)
        ),
        'Map(LowCardinality(String), String)'
    );
