{# Decoded spans of `source`, which holds requests or is the landing table, without what may not be stored: all texts of
   a span are searched at once. #}
{% set spans = 'parts/spans_of_landing.sql' if landed else 'parts/spans_of_requests.sql' %}
{% if redaction.replaces %}
SELECT * REPLACE (
    cleaned[1] AS SpanName,
    cleaned[2] AS StatusMessage,
    cleaned[3] AS TraceState,
    cleaned[4] AS ScopeName,
    cleaned[5] AS ScopeVersion,
    arraySlice(cleaned, 6, length(link_states)) AS link_states,
    arraySlice(cleaned, 6 + length(link_states), length(event_names)) AS event_names,
    arraySlice(cleaned, 6 + length(link_states) + length(event_names), length(keys)) AS keys,
{% if landed %}
    arraySlice(cleaned, 6 + length(link_states) + length(event_names) + length(keys)) AS texts
{% else %}
    llmtrace_cleaned_texts(
        values,
        arraySlice(cleaned, 6 + length(link_states) + length(event_names) + length(keys))
    ) AS texts
{% endif %}
)
FROM (
    SELECT
        *,
        {{ redaction.function }}(arrayConcat(
            [SpanName, StatusMessage, TraceState, ScopeName, ScopeVersion], link_states, event_names, keys, texts
        )) AS cleaned
    FROM (
{% include spans %}
    )
)
{% else %}
{% include spans %}
{% endif %}
