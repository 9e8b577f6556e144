{# Rows of otel_traces out of plain spans: those that use the current conventions' keys, or are not about models at all.
   `source` is what they come from; `mixed` says that foreign spans come from there too. #}
{% from 'parts/span_columns.sql' import span_columns with context %}
{% from 'parts/converted.sql' import first_text with context %}
{% macro attribute(key) %}attrs[{{ key | literal }}]{% endmacro %}
{% macro text(field) %}{{ first_text(field.keys, attribute) }}{% endmacro %}
{{ span_columns(text, attribute, 'entry.1 IN (' ~ plain_text_keys | literals ~ ')') }}
FROM (
    SELECT
        *,
        llmtrace_provider_evidence(
            llmtrace_is_llm({{ attribute(operation_key) }}),
            {{ named_provider }},
            called_host,
            called_model
        ) AS {{ provider_evidence }}
    FROM (
        SELECT
            *,
            mapFromArrays(keys, texts) AS attrs,
            {{ attribute(counted_key) }} AS {{ sender_counts }},
            llmtrace_named_provider(scope_name, [{{ attribute(provider_key) }}]) AS {{ named_provider }},
            llmtrace_host({{ attribute(address_key) }}) AS called_host,
            lower(llmtrace_model({{ attribute(request_model_key) }}, {{ attribute(response_model_key) }})) AS called_model
        FROM (
{% include 'parts/decoded_spans.sql' %}
        )
{% if mixed %}
        WHERE NOT {% include 'parts/is_foreign.sql' %}
{% endif %}
    )
)
