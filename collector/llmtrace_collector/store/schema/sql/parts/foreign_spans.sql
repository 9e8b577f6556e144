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
{%- for step in steps[1:] %}, {{ step if step.lstrip('-').isdigit() else step | literal }}{% endfor %})
{%- endif %}
{%- endmacro %}
{# Fields whose text is more than the first value among their sources. #}
{% set special = {
    'Operation': 'operation',
    'FinishReasons': "llmtrace_first([
            found['FinishReasons'],
            llmtrace_finish_reasons_of_events(event_names, nested_maps),
            JSONExtractString(
                llmtrace_call_detail(event_names, nested_maps, 'gen_ai.output.messages'), 1, 'finish_reason'
            )
        ])",
    'Tags': "llmtrace_tags_of_dialect(found['Tags'])",
    'CacheWriteTokens': 'cache_writes',
    'ResponseModel': "multiIf(StatusCode != 'Error', found['ResponseModel'], counts['OutputTokens'] = '', '', found['ResponseModel'])",
    'StatedCost': 'stated_cost[1]',
    'StatedBy': 'stated_cost[2]',
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
        * REPLACE (
            -- Logfire names spans by a template, and fills it in beside.
            if(
                is_call AND {{ attribute('logfire.msg') }} != '',
                replaceRegexpOne({{ attribute('logfire.msg') }}, ' took [0-9.]+s$', ''),
                SpanName
            ) AS SpanName,
            arrayConcat(keys, tupleElement(retrieval, 1)) AS keys,
            arrayConcat(texts, tupleElement(retrieval, 2)) AS texts
        ),
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
{% elif field.name == 'OutputTokens' %}
        llmtrace_inclusive_output(
            counts['OutputTokens'],
            counts['ReasoningTokens'],
            llmtrace_first([
                {{ source_text('langfuse.observation.usage_details>total') }},
                {{ source_text('gcp.vertex.agent.llm_response>usage_metadata>total_token_count') }}
            ]),
            counts['InputTokens'],
            counts['CacheReadTokens'],
            cache_writes
        ) AS text_OutputTokens,
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
        multiIf(
{% if field.name == 'OutputMessages' %}
            -- Vectors are no answer.
            operation = 'embeddings', '',
{% endif %}
            is_call,
{% if field.name in event_messages %}
            llmtrace_own_or_translated(
                llmtrace_first([
                    {{ attribute(field.keys[0]) }},
                    llmtrace_call_detail(event_names, nested_maps, {{ field.keys[0] | literal }})
                ]),
                conversation[{{ loop.index }}],
                scope_name
            ),
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
                        -- The AI SDK has each text to embed as JSON.
                        llmtrace_json_array_or_nothing(JSONExtract({{ attribute('ai.values') }}, 'Array(String)')),
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
                    llmtrace_system_message(llmtrace_first([
                        found['SystemInstructions'],
                        llmtrace_call_detail(event_names, nested_maps, 'gen_ai.system_instructions')
                    ]))
                ],
                ['user', 'assistant', 'system']
            ) AS conversation,
            -- What was searched, how many documents were wanted, and which came back with which scores, by the
            -- conventions' names.
            if(
                operation = 'retrieval',
                arrayFilter(
                    retrieval_entry -> retrieval_entry.2 != '',
                    [
{% for key, name in retrieval_keys.items() %}
                        ({{ key | literal }}, found[{{ name | literal }}]),
{% endfor %}
                        (
                            {{ retrieval_documents | literal }},
                            llmtrace_first([flat[4], llmtrace_documents_of_events(event_names, nested_maps)])
                        )
                    ]
                ),
                []
            ) AS retrieval,
            llmtrace_provider_evidence(
                is_call,
                {{ named_provider }},
                called_host,
                called_model
            ) AS {{ provider_evidence }}
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
                        if({{ source_text('gcp.vertex.agent.llm_request>contents') }} = '', '', 'generate_content'),
                        {# Conventions before 1.28 name no operation, nor did Logfire. #}
                        if(startsWith({{ attribute('logfire.msg_template') }}, 'Embedding '), 'embeddings', ''),
                        multiIf(
                            {{ attribute(system_key) }} = '', '',
                            {{ attribute('gen_ai.request.model') }} = '', '',
                            counts['InputTokens'] = '', '',
                            'chat'
                        ),
                        if(found['retrieval_query'] = '', '', 'retrieval'),
                        multiIf(
                            {{ source_text('request_data>model') }} = '', '',
                            {{ attribute('logfire.span_type') }} != 'log', 'chat',
                            {{ attribute('response_data') }} = '', '',
                            'chat'
                        )
                    ]),
                    scope_name
                ) AS operation,
                llmtrace_is_llm(operation) AS is_call,
                llmtrace_named_provider(
                    if({{ attribute(vllm_times[0]) }} = '', scope_name, 'vllm'),
                    [found['ReportedProvider'], found['provider_hint']]
                ) AS {{ named_provider }},
                llmtrace_host(found['called_address']) AS called_host,
                lower(llmtrace_model(found['RequestModel'], found['ResponseModel'])) AS called_model,
                llmtrace_cache_writes(
                    counts['CacheWriteTokens'],
                    {{ source_text('langfuse.observation.usage_details>input_cache_creation_5m') }},
                    {{ source_text('langfuse.observation.usage_details>input_cache_creation_1h') }}
                ) AS cache_writes,
                -- What somebody says that it cost, and who: a total, a total of parts, or that of the answer.
                multiIf(
                    found['StatedCost'] != '',
                    [
                        found['StatedCost'],
                        multiIf(
                            {{ attribute('llmtrace.usage.stated_by') }} != '',
                            {{ attribute('llmtrace.usage.stated_by') }},
{% for source, stating in stated_in.items() %}
                            {{ source_text(source) }} != '', {{ stating | literal }},
{% endfor %}
                            {{ stated_by_gateway | literal }}
                        )
                    ],
{% for key in stated_parts %}
                    {{ attribute(key) }} != '',
                    [
                        llmtrace_cost_of_parts([
{% for part in stated_parts %}
                            toFloat64OrZero({{ attribute(part) }}){{ ',' if not loop.last }}
{% endfor %}
                        ]),
                        'openinference'
                    ],
{% endfor %}
                    documents[{{ stated_details | literal }}] != '',
                    [
                        llmtrace_cost_of_parts(
                            JSONExtractKeysAndValues(documents[{{ stated_details | literal }}], 'Float64').2
                        ),
                        'langfuse'
                    ],
{% for key in answers_in %}
                    position(documents[{{ key | literal }}], '"cost') > 0,
                    [
                        llmtrace_cost_of_answer(documents[{{ key | literal }}]),
                        llmtrace_biller_of_answer(documents[{{ key | literal }}])
                    ],
{% endfor %}
                    ['', '']
                ) AS stated_cost,
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
                            match(found['ReportedProvider'], '^(anthropic|amazon-bedrock|aws.bedrock)')
                        ),
                        {# OpenLLMetry hands on Bedrock's usage, which leaves the cache out. #}
                        scope_name = 'opentelemetry.instrumentation.bedrock',
                        {# Logfire before version 5 handed on Anthropic's usage as it came. #}
                        multiIf(
                            {{ source_text('response_data>usage>cache_read_input_tokens') }} = '', false,
                            {{ attribute('gen_ai.usage.input_tokens') }} = ''
                        )
                    ],
                    true
                ) AS cache_is_apart,
                {# Logfire tells of a stream twice: when it begins, and in a log with the usage when it has ended. #}
                multiIf(
                    NOT startsWith(scope_name, 'logfire.'), false,
                    counts['OutputTokens'] != '', false,
                    counts['InputTokens'] != '', false,
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
                                    {{ 'llmtrace_python_json(' ~ attribute(key) ~ ')' if key in python_documents else attribute(key) }}
                                    {{- ',' if not loop.last }}
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
