{# Rows of otel_traces out of foreign spans, which speak another dialect than today's conventions.

   Each step is a SELECT of its own: the engine's analyzer writes names of a WITH out wherever they are used and goes
   through nested lambdas again and again, which takes longer than an insert of thousands of spans. #}
{% from 'parts/span_columns.sql' import span_columns with context %}
{% macro attribute(key) %}attrs[{{ key | literal }}]{% endmacro %}
{# A source of the table of attributes, which may reach into the JSON that an attribute holds. #}
{% macro source_text(source) -%}
{% set steps = source.split('>') %}
{% if steps | length == 1 %}{{ attribute(source) }}
{%- else %}JSONExtractRaw(documents[{{ steps[0] | literal }}]
{%- for step in steps[1:] %}, {{ step if step.isdigit() else step | literal }}{% endfor %})
{%- endif %}
{%- endmacro %}
{# Fields whose text is more than the first value among their sources. #}
{% set special = {
    'Operation': 'operation',
    'Provider': "llmtrace_provider_of_dialect(found['Provider'])",
    'Tags': "llmtrace_tags_of_dialect(found['Tags'])",
    'CacheWriteTokens': 'cache_writes',
} %}
{% macro text(field) %}text_{{ field.name }}{% endmacro %}
{{ span_columns(
    text,
    attribute,
    "(entry.1 IN (" ~ plain_text_keys | literals ~ ") OR is_call AND llmtrace_has_column(entry.1))"
) }}
FROM (
    -- The text of each column.
    SELECT
        *,
        multiIf(
            StatusCode = 'Error', {{ attribute(counted_key) }},
            has_only_begun, 'false',
            {{ attribute(counted_key) }}
        ) AS {{ sender_counts }},
{% for field in fields %}
{% if field.name == 'InputTokens' %}
        llmtrace_inclusive_input(
            counts['InputTokens'],
            counts['CacheReadTokens'],
            cache_writes,
            cache_is_apart
        ) AS text_InputTokens,
{% elif field.name == 'TimeToFirstToken' %}
        llmtrace_first_token(
            counts['TimeToFirstToken'],
            found['first_token_ms'],
            found['first_token_at'],
            started,
            event_names,
            event_times
        ) AS text_TimeToFirstToken,
{% elif field.name in special %}
        {{ special[field.name] }} AS text_{{ field.name }},
{% else %}
        {{ 'counts' if field.is_number else 'found' }}[{{ field.name | literal }}] AS text_{{ field.name }},
{% endif %}
{% endfor %}
{% for field in texts %}
        if(
            is_call,
{% if field.name in event_messages %}
            llmtrace_own_or_translated({{ attribute(field.keys[0]) }}, conversation[{{ loop.index }}], scope_name),
{% elif field.name == 'SystemInstructions' %}
            JSONExtractRaw(conversation[3], 1, 'parts'),
{% else %}
            llmtrace_tools(llmtrace_first([flat[3], found['ToolDefinitions']])),
{% endif %}
            {{ attribute(field.keys[0]) }}
        ) AS text_{{ field.name }}{{ ',' if not loop.last }}
{% endfor %}
    FROM (
        -- The whole conversation in the convention's shape: input, output, instructions.
        SELECT
            *,
            llmtrace_messages(
                [
                    llmtrace_first([
                        flat[1],
                        found['InputMessages'],
                        llmtrace_input_messages_of_events(event_names, nested_maps)
                    ]),
                    llmtrace_first([
                        flat[2],
                        llmtrace_ai_sdk_answer(
                            found['ai_sdk_text'],
                            {{ attribute('ai.response.reasoning') }},
                            found['ai_sdk_tool_calls']
                        ),
                        found['OutputMessages'],
                        llmtrace_output_messages_of_events(event_names, nested_maps)
                    ]),
                    llmtrace_system_message(found['SystemInstructions'])
                ],
                ['user', 'assistant', 'system']
            ) AS conversation
        FROM (
            -- What the span does, and what its counts lack.
            SELECT
                *,
                llmtrace_operation_in_scope(
                    llmtrace_first([
                        llmtrace_operation_named({{ attribute('gen_ai.operation.name') }}),
{% for key in operation_kinds %}
                        llmtrace_operation_by_{{ key | snake }}(documents[{{ key | literal }}]),
{% endfor %}
{% for key in vllm_times %}
                        if({{ attribute(key) }} = '', '', 'text_completion'),
{% endfor %}
                        {# Conventions before 1.28 name no operation, nor does Logfire. #}
                        multiIf(
                            {{ attribute(system_key) }} = '', '',
                            {{ attribute('gen_ai.request.model') }} = '', '',
                            counts['InputTokens'] = '', '',
                            'chat'
                        ),
                        multiIf(
                            {{ source_text('request_data>model') }} = '', '',
                            {{ attribute('logfire.span_type') }} = 'log', '',
                            'chat'
                        )
                    ]),
                    scope_name
                ) AS operation,
                llmtrace_is_llm(operation) AS is_call,
                llmtrace_cache_writes(
                    counts['CacheWriteTokens'],
                    {{ source_text('langfuse.observation.usage_details>input_cache_creation_5m') }},
                    {{ source_text('langfuse.observation.usage_details>input_cache_creation_1h') }}
                ) AS cache_writes,
                {# Langfuse, where the total is more than input and output, has the cache apart. #}
                has(
                    [
                        multiIf(
                            {{ attribute('gen_ai.usage.input_tokens') }} != '', false,
                            {{ source_text('langfuse.observation.usage_details>input') }} = '', false,
                            toUInt64OrZero({{ source_text('langfuse.observation.usage_details>total') }})
                                != toUInt64OrZero(counts['InputTokens']) + toUInt64OrZero(counts['OutputTokens'])
                        ),
                        {# The AI SDK before 6 passed on Anthropic's and Bedrock's input, which leaves the cache out. #}
                        multiIf(
                            {{ attribute('ai.operationId') }} = '', false,
                            {{ attribute('ai.usage.inputTokenDetails.cacheReadTokens') }} != '', false,
                            match(found['Provider'], '^(anthropic|amazon-bedrock|aws.bedrock)')
                        )
                    ],
                    true
                ) AS cache_is_apart,
                {# Logfire tells of a stream twice: when it begins, and in a log with the usage when it has ended. #}
                multiIf(
                    NOT startsWith(scope_name, 'logfire.'), false,
                    counts['OutputTokens'] != '', false,
                    {{ attribute('response_data') }} != '', false,
                    {{ attribute('gen_ai.output.messages') }} = ''
                ) AS has_only_begun
            FROM (
                -- Numbers, which dialects may write as doubles or as JSON of a protobuf value.
                SELECT
                    *,
                    mapFromArrays(
                        [{{ fields | selectattr('is_number') | map(attribute='name') | literals }}],
                        llmtrace_plain_numbers([
{% for field in fields if field.is_number %}
                            found[{{ field.name | literal }}]{{ ',' if not loop.last }}
{% endfor %}
                        ])
                    ) AS counts
                FROM (
                    -- The first value of each column among its sources.
                    SELECT
                        *,
                        mapFromArrays(
                            [
{% for name in sources %}
                                {{ name | literal }}{{ ',' if not loop.last }}
{% endfor %}
                            ],
                            llmtrace_first_values([
{% for keys in sources.values() %}
                                [
{% for key in keys %}
                                    {{ source_text(key) }}{{ ',' if not loop.last }}
{% endfor %}
                                ]{{ ',' if not loop.last }}
{% endfor %}
                            ])
                        ) AS found
                    FROM (
                        -- What is reached into, and what stands in flattened keys.
                        SELECT
                            *,
                            mapFromArrays(
                                [{{ documents | literals }}],
                                llmtrace_all_unquoted([
{% for key in documents %}
                                    {{ attribute(key) }}{{ ',' if not loop.last }}
{% endfor %}
                                ])
                            ) AS documents,
                            llmtrace_flattened(keys, texts) AS flat
                        FROM (
                            SELECT *, mapFromArrays(keys, texts) AS attrs
                            FROM (
{% include 'parts/decoded_spans.sql' %}
                            )
                            WHERE
                                {% include 'parts/is_foreign.sql' %}
                                -- Logfire announces spans before they end; only the whole span is kept.
                                AND attrs['logfire.span_type'] != 'pending_span'
                        )
                    )
                )
            )
        )
    )
)
