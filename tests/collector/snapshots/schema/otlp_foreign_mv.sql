CREATE MATERIALIZED VIEW otlp_foreign_mv TO otel_traces AS
SELECT
    fromUnixTimestamp64Nano(toInt64(started)) AS Timestamp,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    SpanName,
    SpanKind,
    ResourceAttributes['service.name'] AS ServiceName,
    ResourceAttributes,
    ScopeName,
    ScopeVersion,
    CAST(
        arrayFilter(
            (entry, occurrence) -> occurrence = 1 AND NOT (entry.1 IN ('gen_ai.input.messages', 'gen_ai.output.messages', 'gen_ai.system_instructions', 'gen_ai.tool.definitions') OR is_call AND llmtrace_has_column(entry.1)),
            arrayZip(keys, texts),
            arrayEnumerateUniq(keys)
        ),
        'Map(LowCardinality(String), String)'
    ) AS SpanAttributes,
    Duration,
    EndBeforeStart,
    StatusCode,
    StatusMessage,
    arrayMap(at -> fromUnixTimestamp64Nano(toInt64(at)), event_times) AS `Events.Timestamp`,
    event_names AS `Events.Name`,
    arraySlice(nested_maps, 1, length(event_names)) AS `Events.Attributes`,
    link_traces AS `Links.TraceId`,
    link_spans AS `Links.SpanId`,
    link_states AS `Links.TraceState`,
    arraySlice(nested_maps, length(event_names) + 1) AS `Links.Attributes`,
    multiIf(
        project != '', project,
        ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'],
        'default'
    ) AS Project,
    ReceivedAt,
    text_Operation AS Operation,
    text_ReportedProvider AS ReportedProvider,
    text_RequestModel AS RequestModel,
    text_ResponseModel AS ResponseModel,
    text_ResponseId AS ResponseId,
    llmtrace_finish_reasons(text_FinishReasons) AS FinishReasons,
    text_ErrorType AS ErrorType,
    text_UserId AS UserId,
    text_SessionId AS SessionId,
    llmtrace_string_list(text_Tags) AS Tags,
    text_Experiment AS Experiment,
    text_RunId AS RunId,
    text_PromptName AS PromptName,
    text_PromptVersion AS PromptVersion,
    llmtrace_purpose(text_Purpose, ResourceAttributes['llmtrace.purpose'], ResourceAttributes['llmtrace.simulated']) AS Purpose,
    llmtrace_count(text_InputTokens) AS InputTokens,
    llmtrace_count_or_0(text_CacheReadTokens) AS CacheReadTokens,
    llmtrace_count_or_0(text_CacheWriteTokens) AS CacheWriteTokens,
    if(IsLlm, llmtrace_count_or_0(text_CacheWrite1hTokens), 0) AS CacheWrite1hTokens,
    if(IsLlm, llmtrace_count_or_0(text_AudioInputTokens), 0) AS AudioInputTokens,
    if(IsLlm, llmtrace_count_or_0(text_ImageInputTokens), 0) AS ImageInputTokens,
    if(IsLlm, llmtrace_count_or_0(text_VideoInputTokens), 0) AS VideoInputTokens,
    if(IsLlm, llmtrace_count_or_0(text_CacheReadAudioTokens), 0) AS CacheReadAudioTokens,
    if(IsLlm, llmtrace_count_or_0(text_CacheReadImageTokens), 0) AS CacheReadImageTokens,
    if(IsLlm, llmtrace_count_or_0(text_CacheReadVideoTokens), 0) AS CacheReadVideoTokens,
    llmtrace_count(text_OutputTokens) AS OutputTokens,
    llmtrace_count_or_0(text_ReasoningTokens) AS ReasoningTokens,
    if(IsLlm, llmtrace_count_or_0(text_AudioOutputTokens), 0) AS AudioOutputTokens,
    if(IsLlm, llmtrace_count_or_0(text_ImageOutputTokens), 0) AS ImageOutputTokens,
    if(IsLlm, llmtrace_count_or_0(text_VideoOutputTokens), 0) AS VideoOutputTokens,
    if(IsLlm, llmtrace_count_or_0(text_CitationTokens), 0) AS CitationTokens,
    if(IsLlm, llmtrace_count_or_0(text_WebSearches), 0) AS WebSearches,
    if(IsLlm, llmtrace_count_or_0(text_FileSearches), 0) AS FileSearches,
    if(IsLlm, llmtrace_count_or_0(text_RerankSearches), 0) AS RerankSearches,
    if(IsLlm, llmtrace_count_or_0(text_CodeContainers), 0) AS CodeContainers,
    if(IsLlm, llmtrace_count_or_0(text_AudioInputSeconds), 0) AS AudioInputSeconds,
    if(IsLlm, llmtrace_count_or_0(text_SpeechCharacters), 0) AS SpeechCharacters,
    if(IsLlm, llmtrace_count_or_0(text_GeneratedImages), 0) AS GeneratedImages,
    if(IsLlm, llmtrace_count_or_0(text_TrainedTokens), 0) AS TrainedTokens,
    if(IsLlm, llmtrace_count_or_0(text_CacheStorageTokenHours), 0) AS CacheStorageTokenHours,
    llmtrace_seconds(text_TimeToFirstByte) AS TimeToFirstByte,
    llmtrace_seconds(text_TimeToFirstToken) AS TimeToFirstToken,
    llmtrace_seconds(text_TimeToLastToken) AS TimeToLastToken,
    llmtrace_weight(text_Weight) AS Weight,
    if(IsLlm, llmtrace_service_tier(text_ServiceTier, attrs['llmtrace.response.cache_hit']), '') AS ServiceTier,
    if(IsLlm, text_Account, '') AS Account,
    if(IsLlm, llmtrace_stated_cost(text_StatedCost, attrs['llmtrace.usage.stated_currency'], attrs['gen_ai.usage.cost.currency']), NULL) AS StatedCost,
    if(IsLlm, text_StatedBy, '') AS StatedBy,
    if(IsLlm, text_Estimated, '') AS Estimated,
    text_InputMessages AS InputMessages,
    text_OutputMessages AS OutputMessages,
    text_SystemInstructions AS SystemInstructions,
    text_ToolDefinitions AS ToolDefinitions,
    llmtrace_model(RequestModel, ResponseModel) AS Model,
    llmtrace_is_llm(Operation) AS IsLlm,
    llmtrace_provider(provider_evidence) AS Provider,
    llmtrace_provider_source(provider_evidence, named_provider) AS ProviderSource,
    llmtrace_uncounted(IsLlm, sender_counts, SpanKind, ParentSpanId, SpanName, InputTokens) AS Uncounted,
    llmtrace_counted(IsLlm, Uncounted) AS Counted,
    llmtrace_usage_fault(InputTokens, OutputTokens, CacheReadTokens, CacheWriteTokens, CacheWrite1hTokens, ReasoningTokens, AudioInputTokens + ImageInputTokens + VideoInputTokens, AudioOutputTokens + ImageOutputTokens + VideoOutputTokens) AS UsageFault,
    llmtrace_time_per_output_token(TimeToFirstToken, TimeToLastToken, Duration, OutputTokens) AS TimePerOutputToken,
    llmtrace_tpot_estimated(TimePerOutputToken, TimeToLastToken) AS TpotEstimated,
    llmtrace_prompt_hash(Model, InputMessages, SystemInstructions, ToolDefinitions) AS PromptHash
FROM (
    SELECT
        * REPLACE (
            if(
                is_call AND attrs['logfire.msg'] != '',
                replaceRegexpOne(attrs['logfire.msg'], ' took [0-9.]+s$', ''),
                SpanName
            ) AS SpanName,
            arrayConcat(keys, tupleElement(retrieval, 1)) AS keys,
            arrayConcat(texts, tupleElement(retrieval, 2)) AS texts
        ),
        multiIf(
            StatusCode = 'Error', attrs['llmtrace.counted'],
            has_only_begun, 'false',
            attrs['llmtrace.counted']
        ) AS sender_counts,
        operation AS text_Operation,
        found['ReportedProvider'] AS text_ReportedProvider,
        found['RequestModel'] AS text_RequestModel,
        multiIf(StatusCode != 'Error', found['ResponseModel'], counts['OutputTokens'] = '', '', found['ResponseModel']) AS text_ResponseModel,
        found['ResponseId'] AS text_ResponseId,
        llmtrace_first([
            found['FinishReasons'],
            llmtrace_finish_reasons_of_events(event_names, nested_maps),
            JSONExtractString(
                llmtrace_call_detail(event_names, nested_maps, 'gen_ai.output.messages'), 1, 'finish_reason'
            )
        ]) AS text_FinishReasons,
        found['ErrorType'] AS text_ErrorType,
        found['UserId'] AS text_UserId,
        found['SessionId'] AS text_SessionId,
        llmtrace_tags_of_dialect(found['Tags']) AS text_Tags,
        found['Experiment'] AS text_Experiment,
        found['RunId'] AS text_RunId,
        found['PromptName'] AS text_PromptName,
        found['PromptVersion'] AS text_PromptVersion,
        found['Purpose'] AS text_Purpose,
        llmtrace_inclusive_input(
            counts['InputTokens'],
            counts['CacheReadTokens'],
            cache_writes,
            cache_is_apart
        ) AS text_InputTokens,
        counts['CacheReadTokens'] AS text_CacheReadTokens,
        cache_writes AS text_CacheWriteTokens,
        counts['CacheWrite1hTokens'] AS text_CacheWrite1hTokens,
        counts['AudioInputTokens'] AS text_AudioInputTokens,
        counts['ImageInputTokens'] AS text_ImageInputTokens,
        counts['VideoInputTokens'] AS text_VideoInputTokens,
        counts['CacheReadAudioTokens'] AS text_CacheReadAudioTokens,
        counts['CacheReadImageTokens'] AS text_CacheReadImageTokens,
        counts['CacheReadVideoTokens'] AS text_CacheReadVideoTokens,
        llmtrace_inclusive_output(
            counts['OutputTokens'],
            counts['ReasoningTokens'],
            llmtrace_first([
                JSONExtractRaw(documents['langfuse.observation.usage_details'], 'total'),
                JSONExtractRaw(documents['gcp.vertex.agent.llm_response'], 'usage_metadata', 'total_token_count')
            ]),
            counts['InputTokens'],
            counts['CacheReadTokens'],
            cache_writes
        ) AS text_OutputTokens,
        counts['ReasoningTokens'] AS text_ReasoningTokens,
        counts['AudioOutputTokens'] AS text_AudioOutputTokens,
        counts['ImageOutputTokens'] AS text_ImageOutputTokens,
        counts['VideoOutputTokens'] AS text_VideoOutputTokens,
        counts['CitationTokens'] AS text_CitationTokens,
        counts['WebSearches'] AS text_WebSearches,
        counts['FileSearches'] AS text_FileSearches,
        counts['RerankSearches'] AS text_RerankSearches,
        counts['CodeContainers'] AS text_CodeContainers,
        counts['AudioInputSeconds'] AS text_AudioInputSeconds,
        counts['SpeechCharacters'] AS text_SpeechCharacters,
        counts['GeneratedImages'] AS text_GeneratedImages,
        counts['TrainedTokens'] AS text_TrainedTokens,
        counts['CacheStorageTokenHours'] AS text_CacheStorageTokenHours,
        counts['TimeToFirstByte'] AS text_TimeToFirstByte,
        llmtrace_first_token(
            counts['TimeToFirstToken'],
            found['first_token_ms'],
            found['first_token_at'],
            started,
            event_names,
            event_times
        ) AS text_TimeToFirstToken,
        counts['TimeToLastToken'] AS text_TimeToLastToken,
        counts['Weight'] AS text_Weight,
        found['ServiceTier'] AS text_ServiceTier,
        found['Account'] AS text_Account,
        stated_cost[1] AS text_StatedCost,
        stated_cost[2] AS text_StatedBy,
        found['Estimated'] AS text_Estimated,
        multiIf(
            is_call,
            llmtrace_own_or_translated(
                llmtrace_first([
                    attrs['gen_ai.input.messages'],
                    llmtrace_call_detail(event_names, nested_maps, 'gen_ai.input.messages')
                ]),
                conversation[1],
                scope_name
            ),
            attrs['gen_ai.input.messages']
        ) AS text_InputMessages,
        multiIf(
            operation = 'embeddings', '',
            is_call,
            llmtrace_own_or_translated(
                llmtrace_first([
                    attrs['gen_ai.output.messages'],
                    llmtrace_call_detail(event_names, nested_maps, 'gen_ai.output.messages')
                ]),
                conversation[2],
                scope_name
            ),
            attrs['gen_ai.output.messages']
        ) AS text_OutputMessages,
        multiIf(
            is_call,
            JSONExtractRaw(conversation[3], 1, 'parts'),
            attrs['gen_ai.system_instructions']
        ) AS text_SystemInstructions,
        multiIf(
            is_call,
            llmtrace_tools(llmtrace_first([flat[3], found['ToolDefinitions']])),
            attrs['gen_ai.tool.definitions']
        ) AS text_ToolDefinitions
    FROM (
        SELECT
            *,
            llmtrace_messages(
                [
                    llmtrace_first([
                        flat[1],
                        found['InputMessages'],
                        llmtrace_json_array_or_nothing(JSONExtract(attrs['ai.values'], 'Array(String)')),
                        llmtrace_input_messages_of_events(event_names, nested_maps)
                    ]),
                    llmtrace_first([
                        flat[2],
                        llmtrace_ai_sdk_answer(
                            found['ai_sdk_text'],
                            attrs['ai.response.reasoning'],
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
            if(
                operation = 'retrieval',
                arrayFilter(
                    retrieval_entry -> retrieval_entry.2 != '',
                    [
                        ('gen_ai.data_source.id', found['retrieval_collection']),
                        ('gen_ai.retrieval.top_k', found['retrieval_top_k']),
                        (
                            'gen_ai.retrieval.documents',
                            llmtrace_first([flat[4], llmtrace_documents_of_events(event_names, nested_maps)])
                        )
                    ]
                ),
                []
            ) AS retrieval,
            llmtrace_provider_evidence(
                is_call,
                named_provider,
                called_host,
                called_model
            ) AS provider_evidence
        FROM (
            SELECT
                *,
                llmtrace_operation_in_scope(
                    llmtrace_first([
                        llmtrace_operation_named(attrs['gen_ai.operation.name']),
                        llmtrace_operation_by_openinference_span_kind(documents['openinference.span.kind']),
                        llmtrace_operation_by_llm_request_type(documents['llm.request.type']),
                        llmtrace_operation_by_ai_operation_id(documents['ai.operationId']),
                        llmtrace_operation_by_langfuse_observation_type(documents['langfuse.observation.type']),
                        llmtrace_operation_by_mlflow_span_type(documents['mlflow.spanType']),
                        llmtrace_operation_by_traceloop_span_kind(documents['traceloop.span.kind']),
                        llmtrace_operation_by_span_type(documents['span_type']),
                        if(attrs['gen_ai.latency.time_in_queue'] = '', '', 'text_completion'),
                        if(attrs['gen_ai.latency.e2e'] = '', '', 'text_completion'),
                        if(attrs['gen_ai.latency.time_to_first_token'] = '', '', 'text_completion'),
                        if(JSONExtractRaw(documents['gcp.vertex.agent.llm_request'], 'contents') = '', '', 'generate_content'),
                        if(startsWith(attrs['logfire.msg_template'], 'Embedding '), 'embeddings', ''),
                        multiIf(
                            attrs['gen_ai.system'] = '', '',
                            attrs['gen_ai.request.model'] = '', '',
                            counts['InputTokens'] = '', '',
                            'chat'
                        ),
                        if(found['retrieval_query'] = '', '', 'retrieval'),
                        multiIf(
                            JSONExtractRaw(documents['request_data'], 'model') = '', '',
                            attrs['logfire.span_type'] != 'log', 'chat',
                            attrs['response_data'] = '', '',
                            'chat'
                        )
                    ]),
                    scope_name
                ) AS operation,
                llmtrace_is_llm(operation) AS is_call,
                llmtrace_named_provider(
                    if(attrs['gen_ai.latency.time_in_queue'] = '', scope_name, 'vllm'),
                    [found['ReportedProvider'], found['provider_hint']]
                ) AS named_provider,
                llmtrace_host(found['called_address']) AS called_host,
                lower(llmtrace_model(found['RequestModel'], found['ResponseModel'])) AS called_model,
                llmtrace_cache_writes(
                    counts['CacheWriteTokens'],
                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input_cache_creation_5m'),
                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input_cache_creation_1h')
                ) AS cache_writes,
                multiIf(
                    found['StatedCost'] != '',
                    [
                        found['StatedCost'],
                        multiIf(
                            attrs['llmtrace.usage.stated_by'] != '',
                            attrs['llmtrace.usage.stated_by'],
                            JSONExtractRaw(documents['ai.response.providerMetadata'], 'openrouter', 'usage', 'cost') != '', 'openrouter',
                            attrs['gen_ai.usage.cost'] != '', 'gen_ai',
                            attrs['gen_ai.usage.total_cost'] != '', 'gen_ai',
                            attrs['gen_ai.usage.cost_usd'] != '', 'gen_ai',
                            attrs['gen_ai.usage.cost.amount'] != '', 'gen_ai',
                            attrs['litellm.cost.total'] != '', 'litellm',
                            attrs['gen_ai.cost.total_cost'] != '', 'litellm',
                            JSONExtractRaw(documents['hidden_params'], 'response_cost') != '', 'litellm',
                            attrs['llm.cost.total'] != '', 'openinference',
                            JSONExtractRaw(documents['langfuse.observation.cost_details'], 'total') != '', 'langfuse',
                            JSONExtractRaw(documents['langfuse.observation.cost_details'], 'total_cost') != '', 'langfuse',
                            attrs['langfuse.observation.cost_details.total'] != '', 'langfuse',
                            JSONExtractRaw(documents['mlflow.llm.cost'], 'total_cost') != '', 'mlflow',
                            attrs['operation.cost'] != '', 'logfire',
                            JSONExtractRaw(documents['ai.response.providerMetadata'], 'gateway', 'cost') != '', 'gateway',
                            'gateway'
                        )
                    ],
                    attrs['llm.cost.prompt'] != '',
                    [
                        llmtrace_cost_of_parts([
                            toFloat64OrZero(attrs['llm.cost.prompt']),
                            toFloat64OrZero(attrs['llm.cost.completion'])
                        ]),
                        'openinference'
                    ],
                    attrs['llm.cost.completion'] != '',
                    [
                        llmtrace_cost_of_parts([
                            toFloat64OrZero(attrs['llm.cost.prompt']),
                            toFloat64OrZero(attrs['llm.cost.completion'])
                        ]),
                        'openinference'
                    ],
                    documents['langfuse.observation.cost_details'] != '',
                    [
                        llmtrace_cost_of_parts(
                            JSONExtractKeysAndValues(documents['langfuse.observation.cost_details'], 'Float64').2
                        ),
                        'langfuse'
                    ],
                    position(documents['output.value'], '"cost') > 0,
                    [
                        llmtrace_cost_of_answer(documents['output.value']),
                        llmtrace_biller_of_answer(documents['output.value'])
                    ],
                    position(documents['response_data'], '"cost') > 0,
                    [
                        llmtrace_cost_of_answer(documents['response_data']),
                        llmtrace_biller_of_answer(documents['response_data'])
                    ],
                    position(documents['mlflow.spanOutputs'], '"cost') > 0,
                    [
                        llmtrace_cost_of_answer(documents['mlflow.spanOutputs']),
                        llmtrace_biller_of_answer(documents['mlflow.spanOutputs'])
                    ],
                    ['', '']
                ) AS stated_cost,
                has(
                    [
                        multiIf(
                            attrs['gen_ai.usage.input_tokens'] != '', false,
                            JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input') = '', false,
                            toUInt64OrZero(JSONExtractRaw(documents['langfuse.observation.usage_details'], 'total'))
                                != toUInt64OrZero(counts['InputTokens']) + toUInt64OrZero(counts['OutputTokens'])
                        ),
                        multiIf(
                            attrs['ai.operationId'] = '', false,
                            attrs['ai.usage.inputTokenDetails.cacheReadTokens'] != '', false,
                            match(found['ReportedProvider'], '^(anthropic|amazon-bedrock|aws.bedrock)')
                        ),
                        scope_name = 'opentelemetry.instrumentation.bedrock',
                        multiIf(
                            JSONExtractRaw(documents['response_data'], 'usage', 'cache_read_input_tokens') = '', false,
                            attrs['gen_ai.usage.input_tokens'] = ''
                        )
                    ],
                    true
                ) AS cache_is_apart,
                multiIf(
                    NOT startsWith(scope_name, 'logfire.'), false,
                    counts['OutputTokens'] != '', false,
                    counts['InputTokens'] != '', false,
                    attrs['response_data'] != '', false,
                    attrs['gen_ai.output.messages'] = ''
                ) AS has_only_begun
            FROM (
                SELECT
                    *,
                    mapFromArrays(
                        ['InputTokens', 'CacheReadTokens', 'CacheWriteTokens', 'CacheWrite1hTokens', 'AudioInputTokens',
'ImageInputTokens', 'VideoInputTokens', 'CacheReadAudioTokens', 'CacheReadImageTokens', 'CacheReadVideoTokens',
'OutputTokens', 'ReasoningTokens', 'AudioOutputTokens', 'ImageOutputTokens', 'VideoOutputTokens',
'CitationTokens', 'WebSearches', 'FileSearches', 'RerankSearches', 'CodeContainers', 'AudioInputSeconds',
'SpeechCharacters', 'GeneratedImages', 'TrainedTokens', 'CacheStorageTokenHours', 'TimeToFirstByte',
'TimeToFirstToken', 'TimeToLastToken', 'Weight'],
                        llmtrace_plain_numbers([
                            found['InputTokens'],
                            found['CacheReadTokens'],
                            found['CacheWriteTokens'],
                            found['CacheWrite1hTokens'],
                            found['AudioInputTokens'],
                            found['ImageInputTokens'],
                            found['VideoInputTokens'],
                            found['CacheReadAudioTokens'],
                            found['CacheReadImageTokens'],
                            found['CacheReadVideoTokens'],
                            found['OutputTokens'],
                            found['ReasoningTokens'],
                            found['AudioOutputTokens'],
                            found['ImageOutputTokens'],
                            found['VideoOutputTokens'],
                            found['CitationTokens'],
                            found['WebSearches'],
                            found['FileSearches'],
                            found['RerankSearches'],
                            found['CodeContainers'],
                            found['AudioInputSeconds'],
                            found['SpeechCharacters'],
                            found['GeneratedImages'],
                            found['TrainedTokens'],
                            found['CacheStorageTokenHours'],
                            found['TimeToFirstByte'],
                            found['TimeToFirstToken'],
                            found['TimeToLastToken'],
                            found['Weight']
                        ])
                    ) AS counts
                FROM (
                    SELECT
                        *,
                        mapFromArrays(
                            [
                                'Operation',
                                'ReportedProvider',
                                'RequestModel',
                                'ResponseModel',
                                'ResponseId',
                                'FinishReasons',
                                'ErrorType',
                                'UserId',
                                'SessionId',
                                'Tags',
                                'Experiment',
                                'RunId',
                                'PromptName',
                                'PromptVersion',
                                'Purpose',
                                'InputTokens',
                                'CacheReadTokens',
                                'CacheWriteTokens',
                                'CacheWrite1hTokens',
                                'AudioInputTokens',
                                'ImageInputTokens',
                                'VideoInputTokens',
                                'CacheReadAudioTokens',
                                'CacheReadImageTokens',
                                'CacheReadVideoTokens',
                                'OutputTokens',
                                'ReasoningTokens',
                                'AudioOutputTokens',
                                'ImageOutputTokens',
                                'VideoOutputTokens',
                                'CitationTokens',
                                'WebSearches',
                                'FileSearches',
                                'RerankSearches',
                                'CodeContainers',
                                'AudioInputSeconds',
                                'SpeechCharacters',
                                'GeneratedImages',
                                'TrainedTokens',
                                'CacheStorageTokenHours',
                                'TimeToFirstByte',
                                'TimeToFirstToken',
                                'TimeToLastToken',
                                'Weight',
                                'ServiceTier',
                                'Account',
                                'StatedCost',
                                'StatedBy',
                                'Estimated',
                                'InputMessages',
                                'OutputMessages',
                                'SystemInstructions',
                                'ToolDefinitions',
                                'provider_hint',
                                'called_address',
                                'first_token_ms',
                                'first_token_at',
                                'ai_sdk_text',
                                'ai_sdk_tool_calls',
                                'retrieval_query',
                                'retrieval_top_k',
                                'retrieval_collection'
                            ],
                            llmtrace_first_values([
                                [
                                    attrs['gen_ai.operation.name']
                                ],
                                [
                                    attrs['gen_ai.provider.name'],
                                    attrs['gen_ai.system'],
                                    attrs['llm.provider'],
                                    attrs['llm.system'],
                                    attrs['ai.model.provider'],
                                    attrs['mlflow.llm.provider'],
                                    attrs['llm.vendor']
                                ],
                                [
                                    attrs['gen_ai.request.model'],
                                    attrs['llm.request.model_name'],
                                    JSONExtractRaw(documents['llm.invocation_parameters'], 'model'),
                                    JSONExtractRaw(documents['embedding.invocation_parameters'], 'model'),
                                    attrs['ai.model.id'],
                                    JSONExtractRaw(documents['request_data'], 'model'),
                                    JSONExtractRaw(documents['inputs'], 'model'),
                                    attrs['langfuse.observation.model.name'],
                                    JSONExtractRaw(documents['mlflow.spanInputs'], 'model'),
                                    attrs['mlflow.llm.model'],
                                    attrs['llm.request.model'],
                                    attrs['embedding.model_name'],
                                    attrs['reranker.model_name'],
                                    attrs['llm.model_name']
                                ],
                                [
                                    attrs['gen_ai.response.model'],
                                    attrs['llm.response.model_name'],
                                    attrs['llm.model_name'],
                                    attrs['ai.response.model'],
                                    attrs['llm.response.model'],
                                    JSONExtractRaw(documents['output.value'], 'model'),
                                    JSONExtractRaw(documents['mlflow.spanOutputs'], 'model'),
                                    attrs['langfuse.observation.model.name']
                                ],
                                [
                                    attrs['gen_ai.response.id'],
                                    attrs['ai.response.id'],
                                    JSONExtractRaw(documents['output.value'], 'id'),
                                    JSONExtractRaw(documents['output.value'], 'generations', 1, 1, 'message', 'kwargs', 'response_metadata', 'id'),
                                    JSONExtractRaw(documents['response_data'], 'id'),
                                    JSONExtractRaw(documents['mlflow.spanOutputs'], 'id'),
                                    JSONExtractRaw(documents['langfuse.observation.output'], 'id'),
                                    JSONExtractRaw(documents['output'], 'id'),
                                    JSONExtractRaw(documents['output'], 1, 'id')
                                ],
                                [
                                    attrs['gen_ai.response.finish_reasons'],
                                    attrs['gen_ai.response.finish_reason'],
                                    attrs['gen_ai.response.stop_reason'],
                                    attrs['gen_ai.completion.0.finish_reason'],
                                    attrs['llm.response.finish_reason'],
                                    attrs['llm.response.stop_reason'],
                                    attrs['llm.finish_reason'],
                                    attrs['ai.response.finishReason'],
                                    attrs['ai.finishReason'],
                                    attrs['anthropic.message.stop_reason'],
                                    JSONExtractRaw(documents['output.value'], 'choices', 1, 'finish_reason'),
                                    JSONExtractRaw(documents['output.value'], 'stop_reason'),
                                    JSONExtractRaw(documents['response_data'], 'message', 'stop_reason'),
                                    JSONExtractRaw(documents['mlflow.spanOutputs'], 'choices', 1, 'finish_reason'),
                                    JSONExtractRaw(documents['mlflow.spanOutputs'], 'stop_reason'),
                                    JSONExtractRaw(documents['output'], 'choices', 1, 'finish_reason'),
                                    JSONExtractRaw(documents['output'], -1, 'choices', 1, 'finish_reason'),
                                    JSONExtractRaw(documents['output'], -2, 'choices', 1, 'finish_reason'),
                                    attrs['langfuse.observation.metadata.finish_reason'],
                                    JSONExtractRaw(documents['output.value'], 'generations', 1, 1, 'generation_info', 'finish_reason'),
                                    JSONExtractRaw(documents['output.value'], 'generations', 1, 1, 'message', 'kwargs', 'response_metadata', 'finish_reason'),
                                    JSONExtractRaw(documents['gen_ai.output.messages'], 1, 'finish_reason')
                                ],
                                [
                                    attrs['error.type']
                                ],
                                [
                                    attrs['user.id'],
                                    attrs['enduser.id'],
                                    attrs['langfuse.user.id'],
                                    attrs['gen_ai.user'],
                                    attrs['gen_ai.request.user'],
                                    attrs['llm.user'],
                                    attrs['traceloop.association.properties.user_id'],
                                    attrs['ai.telemetry.metadata.userId'],
                                    attrs['mlflow.trace.user'],
                                    attrs['litellm.end_user.id'],
                                    attrs['metadata.user_api_key_end_user_id'],
                                    attrs['metadata.user_api_key_user_id'],
                                    attrs['gen_ai.prompt.0.user']
                                ],
                                [
                                    attrs['session.id'],
                                    attrs['gen_ai.conversation.id'],
                                    attrs['langfuse.session.id'],
                                    attrs['traceloop.association.properties.session_id'],
                                    attrs['ai.telemetry.metadata.sessionId'],
                                    attrs['mlflow.trace.session'],
                                    attrs['anthropic.session.id'],
                                    attrs['session_id']
                                ],
                                [
                                    attrs['llmtrace.tags'],
                                    attrs['tag.tags'],
                                    attrs['langfuse.trace.tags'],
                                    attrs['langfuse.tags'],
                                    attrs['logfire.tags'],
                                    attrs['ai.telemetry.metadata.tags']
                                ],
                                [
                                    attrs['llmtrace.experiment']
                                ],
                                [
                                    attrs['llmtrace.run']
                                ],
                                [
                                    attrs['gen_ai.prompt.name'],
                                    attrs['traceloop.prompt.key'],
                                    attrs['langfuse.observation.prompt.name'],
                                    attrs['prompt.id']
                                ],
                                [
                                    attrs['gen_ai.prompt.version'],
                                    attrs['traceloop.prompt.version'],
                                    attrs['langfuse.observation.prompt.version'],
                                    attrs['llm.prompt_template.version']
                                ],
                                [
                                    attrs['llmtrace.purpose']
                                ],
                                [
                                    attrs['gen_ai.usage.input_tokens'],
                                    attrs['llmtrace.usage.estimated.input_tokens'],
                                    attrs['gen_ai.usage.prompt_tokens'],
                                    attrs['llm.token_count.prompt'],
                                    attrs['ai.usage.inputTokens'],
                                    attrs['ai.usage.promptTokens'],
                                    attrs['ai.usage.tokens'],
                                    JSONExtractRaw(documents['mlflow.chat.tokenUsage'], 'input_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'prompt_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input_tokens'),
                                    attrs['llm.usage.prompt_tokens'],
                                    JSONExtractRaw(documents['output'], -1, 'usage', 'prompt_tokens'),
                                    JSONExtractRaw(documents['mlflow.spanOutputs'], 'usage', 'prompt_tokens'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'prompt_tokens'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'input_tokens')
                                ],
                                [
                                    attrs['gen_ai.usage.cache_read.input_tokens'],
                                    attrs['gen_ai.usage.cache_read_input_tokens'],
                                    attrs['gen_ai.usage.input_tokens.cached'],
                                    attrs['gen_ai.usage.details.cache_read_tokens'],
                                    attrs['gen_ai.usage.cached_tokens'],
                                    attrs['llm.token_count.prompt_details.cache_read'],
                                    attrs['llm.token_count.prompt_details.cache_input'],
                                    attrs['ai.usage.inputTokenDetails.cacheReadTokens'],
                                    attrs['ai.usage.cachedInputTokens'],
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'openai', 'cachedPromptTokens'),
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'anthropic', 'usage', 'cache_read_input_tokens'),
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'anthropic', 'cacheReadInputTokens'),
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'bedrock', 'usage', 'cacheReadInputTokens'),
                                    JSONExtractRaw(documents['mlflow.chat.tokenUsage'], 'cache_read_input_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input_cached_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'cache_read_input_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input_cache_read'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'prompt_tokens_details', 'cached_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input_tokens_details', 'cached_tokens'),
                                    JSONExtractRaw(documents['output'], 'usage', 'prompt_tokens_details', 'cached_tokens'),
                                    JSONExtractRaw(documents['output'], -1, 'usage', 'prompt_tokens_details', 'cached_tokens'),
                                    JSONExtractRaw(documents['metadata.usage_object'], 'prompt_tokens_details', 'cached_tokens'),
                                    JSONExtractRaw(documents['gcp.vertex.agent.llm_response'], 'usage_metadata', 'cached_content_token_count'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'prompt_tokens_details', 'cached_tokens'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'cache_read_input_tokens'),
                                    JSONExtractRaw(documents['gen_ai.usage.raw'], 'cache_read_input_tokens'),
                                    JSONExtractRaw(documents['gen_ai.usage.raw'], 'prompt_tokens_details', 'cached_tokens'),
                                    JSONExtractRaw(documents['gen_ai.usage.raw'], 'input_tokens_details', 'cached_tokens')
                                ],
                                [
                                    attrs['gen_ai.usage.cache_write.input_tokens'],
                                    attrs['gen_ai.usage.cache_creation.input_tokens'],
                                    attrs['gen_ai.usage.cache_creation_input_tokens'],
                                    attrs['gen_ai.usage.input_tokens.cache_write'],
                                    attrs['gen_ai.usage.details.cache_write_tokens'],
                                    attrs['llm.token_count.prompt_details.cache_write'],
                                    attrs['ai.usage.inputTokenDetails.cacheWriteTokens'],
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'anthropic', 'usage', 'cache_creation_input_tokens'),
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'anthropic', 'cacheCreationInputTokens'),
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'bedrock', 'usage', 'cacheWriteInputTokens'),
                                    JSONExtractRaw(documents['mlflow.chat.tokenUsage'], 'cache_creation_input_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'input_cache_creation'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'cache_creation_input_tokens'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'cache_creation_input_tokens'),
                                    JSONExtractRaw(documents['gen_ai.usage.raw'], 'cache_creation_input_tokens')
                                ],
                                [
                                    attrs['llmtrace.usage.cache_write_1h.input_tokens'],
                                    attrs['langfuse.observation.usage_details.input_cache_creation_1h']
                                ],
                                [
                                    attrs['gen_ai.usage.audio.input_tokens'],
                                    attrs['gen_ai.usage.details.input_audio_tokens'],
                                    attrs['llm.token_count.prompt_details.audio'],
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'prompt_tokens_details', 'audio_tokens')
                                ],
                                [
                                    attrs['gen_ai.usage.image.input_tokens'],
                                    attrs['gen_ai.usage.details.input_image_tokens']
                                ],
                                [
                                    attrs['gen_ai.usage.video.input_tokens']
                                ],
                                [
                                    attrs['llmtrace.usage.cache_read_audio.input_tokens'],
                                    attrs['gen_ai.usage.details.cache_audio_read_tokens']
                                ],
                                [
                                    attrs['llmtrace.usage.cache_read_image.input_tokens']
                                ],
                                [
                                    attrs['llmtrace.usage.cache_read_video.input_tokens']
                                ],
                                [
                                    attrs['gen_ai.usage.output_tokens'],
                                    attrs['llmtrace.usage.estimated.output_tokens'],
                                    attrs['gen_ai.usage.completion_tokens'],
                                    attrs['llm.token_count.completion'],
                                    attrs['ai.usage.outputTokens'],
                                    attrs['ai.usage.completionTokens'],
                                    JSONExtractRaw(documents['mlflow.chat.tokenUsage'], 'output_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'output'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'completion_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'output_tokens'),
                                    attrs['llm.usage.completion_tokens'],
                                    JSONExtractRaw(documents['output'], -1, 'usage', 'completion_tokens'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'completion_tokens'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'output_tokens')
                                ],
                                [
                                    attrs['gen_ai.usage.reasoning.output_tokens'],
                                    attrs['gen_ai.usage.reasoning_tokens'],
                                    attrs['gen_ai.usage.output_tokens.reasoning'],
                                    attrs['gen_ai.usage.details.reasoning_tokens'],
                                    attrs['llm.usage.reasoning_tokens'],
                                    attrs['llm.token_count.completion_details.reasoning'],
                                    attrs['ai.usage.outputTokenDetails.reasoningTokens'],
                                    attrs['ai.usage.reasoningTokens'],
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'output_reasoning_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'output_reasoning'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'completion_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'output_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'completion_tokens_details.reasoning_tokens'),
                                    JSONExtractRaw(documents['output'], 'usage', 'completion_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['output'], -1, 'usage', 'completion_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['mlflow.spanOutputs'], 'usage', 'completion_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['metadata.usage_object'], 'completion_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['gcp.vertex.agent.llm_response'], 'usage_metadata', 'thoughts_token_count'),
                                    JSONExtractRaw(documents['response_data'], 'usage', 'completion_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['gen_ai.usage.raw'], 'completion_tokens_details', 'reasoning_tokens'),
                                    JSONExtractRaw(documents['gen_ai.usage.raw'], 'output_tokens_details', 'reasoning_tokens')
                                ],
                                [
                                    attrs['gen_ai.usage.audio.output_tokens'],
                                    attrs['gen_ai.usage.details.output_audio_tokens'],
                                    attrs['llm.token_count.completion_details.audio'],
                                    JSONExtractRaw(documents['langfuse.observation.usage_details'], 'completion_tokens_details', 'audio_tokens')
                                ],
                                [
                                    attrs['gen_ai.usage.image.output_tokens']
                                ],
                                [
                                    attrs['gen_ai.usage.video.output_tokens']
                                ],
                                [
                                    attrs['llmtrace.usage.citation.output_tokens']
                                ],
                                [
                                    attrs['llmtrace.usage.web_searches'],
                                    attrs['gen_ai.usage.details.web_search_requests']
                                ],
                                [
                                    attrs['llmtrace.usage.file_searches']
                                ],
                                [
                                    attrs['llmtrace.usage.rerank_searches']
                                ],
                                [
                                    attrs['llmtrace.usage.code_containers']
                                ],
                                [
                                    attrs['llmtrace.usage.audio_input_seconds']
                                ],
                                [
                                    attrs['llmtrace.usage.speech_characters']
                                ],
                                [
                                    attrs['llmtrace.usage.generated_images']
                                ],
                                [
                                    attrs['llmtrace.usage.trained_tokens']
                                ],
                                [
                                    attrs['llmtrace.usage.cache_storage_token_hours']
                                ],
                                [
                                    attrs['llmtrace.response.time_to_first_byte']
                                ],
                                [
                                    attrs['gen_ai.response.time_to_first_chunk'],
                                    attrs['gen_ai.client.operation.time_to_first_chunk'],
                                    attrs['gen_ai.latency.time_to_first_token']
                                ],
                                [
                                    attrs['llmtrace.response.time_to_last_token']
                                ],
                                [
                                    attrs['llmtrace.sample.weight']
                                ],
                                [
                                    attrs['llmtrace.response.service_tier'],
                                    attrs['openai.response.service_tier'],
                                    attrs['gen_ai.openai.response.service_tier'],
                                    attrs['anthropic.response.service_tier'],
                                    attrs['openai.request.service_tier'],
                                    attrs['gen_ai.openai.request.service_tier'],
                                    attrs['anthropic.request.service_tier'],
                                    attrs['llmtrace.request.service_tier']
                                ],
                                [
                                    attrs['llmtrace.account']
                                ],
                                [
                                    attrs['llmtrace.usage.stated_cost'],
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'openrouter', 'usage', 'cost'),
                                    attrs['gen_ai.usage.cost'],
                                    attrs['gen_ai.usage.total_cost'],
                                    attrs['gen_ai.usage.cost_usd'],
                                    attrs['gen_ai.usage.cost.amount'],
                                    attrs['litellm.cost.total'],
                                    attrs['gen_ai.cost.total_cost'],
                                    JSONExtractRaw(documents['hidden_params'], 'response_cost'),
                                    attrs['llm.cost.total'],
                                    JSONExtractRaw(documents['langfuse.observation.cost_details'], 'total'),
                                    JSONExtractRaw(documents['langfuse.observation.cost_details'], 'total_cost'),
                                    attrs['langfuse.observation.cost_details.total'],
                                    JSONExtractRaw(documents['mlflow.llm.cost'], 'total_cost'),
                                    attrs['operation.cost'],
                                    JSONExtractRaw(documents['ai.response.providerMetadata'], 'gateway', 'cost')
                                ],
                                [
                                    attrs['llmtrace.usage.stated_by']
                                ],
                                [
                                    attrs['llmtrace.usage.estimated']
                                ],
                                [
                                    attrs['gen_ai.input.messages'],
                                    attrs['ai.prompt.messages'],
                                    JSONExtractRaw(documents['ai.prompt'], 'messages'),
                                    JSONExtractRaw(documents['ai.prompt'], 'prompt'),
                                    JSONExtractRaw(documents['request_data'], 'messages'),
                                    JSONExtractRaw(documents['request_data'], 'input'),
                                    JSONExtractRaw(documents['mlflow.spanInputs'], 'messages'),
                                    JSONExtractRaw(documents['mlflow.spanInputs'], 'input'),
                                    JSONExtractRaw(documents['langfuse.observation.input'], 'messages'),
                                    attrs['langfuse.observation.input'],
                                    JSONExtractRaw(documents['input.value'], 'messages'),
                                    attrs['gen_ai.prompt'],
                                    JSONExtractRaw(documents['inputs'], 'messages'),
                                    JSONExtractRaw(documents['inputs'], 'prompt'),
                                    JSONExtractRaw(documents['inputs'], 'input'),
                                    attrs['ai.value'],
                                    JSONExtractRaw(documents['gcp.vertex.agent.llm_request'], 'contents'),
                                    attrs['llm.prompts.0.prompt.text'],
                                    attrs['input.value']
                                ],
                                [
                                    attrs['gen_ai.output.messages'],
                                    JSONExtractRaw(documents['response_data'], 'message'),
                                    JSONExtractRaw(documents['response_data'], 'combined_chunk_content'),
                                    JSONExtractRaw(documents['mlflow.spanOutputs'], 'choices'),
                                    attrs['mlflow.spanOutputs'],
                                    JSONExtractRaw(documents['langfuse.observation.output'], 'choices'),
                                    attrs['langfuse.observation.output'],
                                    JSONExtractRaw(documents['output.value'], 'choices'),
                                    attrs['gen_ai.completion'],
                                    JSONExtractRaw(documents['output'], 'choices'),
                                    attrs['llm.generated_message'],
                                    JSONExtractRaw(documents['gcp.vertex.agent.llm_response'], 'content'),
                                    attrs['llm.choices.0.completion.text'],
                                    attrs['ai.response.object'],
                                    attrs['output.value']
                                ],
                                [
                                    attrs['gen_ai.system_instructions'],
                                    JSONExtractRaw(documents['ai.prompt'], 'system'),
                                    JSONExtractRaw(documents['request_data'], 'system'),
                                    JSONExtractRaw(documents['request_data'], 'instructions'),
                                    JSONExtractRaw(documents['gcp.vertex.agent.llm_request'], 'config', 'system_instruction'),
                                    JSONExtractRaw(documents['mlflow.spanInputs'], 'system')
                                ],
                                [
                                    attrs['gen_ai.tool.definitions'],
                                    attrs['ai.prompt.tools'],
                                    attrs['mlflow.chat.tools'],
                                    JSONExtractRaw(documents['request_data'], 'tools'),
                                    JSONExtractRaw(documents['langfuse.observation.input'], 'tools'),
                                    JSONExtractRaw(documents['inputs'], 'tools'),
                                    JSONExtractRaw(documents['gcp.vertex.agent.llm_request'], 'config', 'tools', 1, 'function_declarations')
                                ],
                                [
                                    attrs['traceloop.association.properties.ls_provider'],
                                    attrs['llm.provider'],
                                    attrs['ai.model.provider'],
                                    attrs['litellm.provider'],
                                    attrs['mlflow.llm.provider']
                                ],
                                [
                                    attrs['server.address'],
                                    attrs['gen_ai.openai.api_base'],
                                    attrs['openai.api_base'],
                                    attrs['llm.openai.api_base'],
                                    attrs['litellm.api_base']
                                ],
                                [
                                    attrs['ai.response.msToFirstChunk'],
                                    attrs['ai.stream.msToFirstChunk'],
                                    attrs['gen_ai.server.time_to_first_token']
                                ],
                                [
                                    attrs['langfuse.observation.completion_start_time']
                                ],
                                [
                                    attrs['ai.response.text'],
                                    attrs['ai.result.text']
                                ],
                                [
                                    attrs['ai.response.toolCalls'],
                                    attrs['ai.result.toolCalls']
                                ],
                                [
                                    attrs['db.vector.query.top_k'],
                                    attrs['pinecone.query.top_k'],
                                    attrs['db.chroma.query.n_results'],
                                    attrs['db.vector.query.embeddings_count'],
                                    attrs['db.chroma.query.embeddings_count'],
                                    attrs['db.chroma.query.texts_count']
                                ],
                                [
                                    attrs['db.vector.query.top_k'],
                                    attrs['pinecone.query.top_k'],
                                    attrs['db.chroma.query.n_results']
                                ],
                                [
                                    attrs['db.collection.name'],
                                    attrs['qdrant.query_points.collection_name'],
                                    attrs['qdrant.search.collection_name'],
                                    attrs['qdrant.query.collection_name']
                                ]
                            ])
                        ) AS found
                    FROM (
                        SELECT
                            *,
                            mapFromArrays(
                                ['llm.invocation_parameters', 'embedding.invocation_parameters', 'request_data', 'inputs', 'mlflow.spanInputs',
'output.value', 'mlflow.spanOutputs', 'response_data', 'langfuse.observation.output', 'output',
'gen_ai.output.messages', 'mlflow.chat.tokenUsage', 'langfuse.observation.usage_details', 'ai.response.providerMetadata',
'metadata.usage_object', 'gcp.vertex.agent.llm_response', 'gen_ai.usage.raw', 'hidden_params',
'langfuse.observation.cost_details', 'mlflow.llm.cost', 'ai.prompt', 'langfuse.observation.input',
'input.value', 'gcp.vertex.agent.llm_request', 'openinference.span.kind', 'llm.request.type',
'ai.operationId', 'langfuse.observation.type', 'mlflow.spanType', 'traceloop.span.kind', 'span_type'],
                                llmtrace_all_unquoted([
                                    attrs['llm.invocation_parameters'],
                                    attrs['embedding.invocation_parameters'],
                                    attrs['request_data'],
                                    attrs['inputs'],
                                    attrs['mlflow.spanInputs'],
                                    attrs['output.value'],
                                    attrs['mlflow.spanOutputs'],
                                    attrs['response_data'],
                                    attrs['langfuse.observation.output'],
                                    attrs['output'],
                                    attrs['gen_ai.output.messages'],
                                    attrs['mlflow.chat.tokenUsage'],
                                    attrs['langfuse.observation.usage_details'],
                                    attrs['ai.response.providerMetadata'],
                                    llmtrace_python_json(attrs['metadata.usage_object']),
                                    attrs['gcp.vertex.agent.llm_response'],
                                    attrs['gen_ai.usage.raw'],
                                    attrs['hidden_params'],
                                    attrs['langfuse.observation.cost_details'],
                                    attrs['mlflow.llm.cost'],
                                    attrs['ai.prompt'],
                                    attrs['langfuse.observation.input'],
                                    attrs['input.value'],
                                    attrs['gcp.vertex.agent.llm_request'],
                                    attrs['openinference.span.kind'],
                                    attrs['llm.request.type'],
                                    attrs['ai.operationId'],
                                    attrs['langfuse.observation.type'],
                                    attrs['mlflow.spanType'],
                                    attrs['traceloop.span.kind'],
                                    attrs['span_type']
                                ])
                            ) AS documents,
                            llmtrace_flattened(keys, texts) AS flat
                        FROM (
                            SELECT *, mapFromArrays(keys, texts) AS attrs
                            FROM (
SELECT
    project,
    ReceivedAt,
    ResourceAttributes,
    scope_name,
    scope_name AS ScopeName,
    ScopeVersion,
    lower(hex(`span.trace_id`)) AS TraceId,
    lower(hex(`span.span_id`)) AS SpanId,
    lower(hex(`span.parent_span_id`)) AS ParentSpanId,
    `span.trace_state` AS TraceState,
    `span.name` AS SpanName,
    transform(
        `span.kind`,
        [1, 2, 3, 4, 5],
        ['Internal', 'Server', 'Client', 'Producer', 'Consumer'],
        'Unspecified'
    ) AS SpanKind,
    transform(tupleElement(`span.status`, 'code'), [1, 2], ['Ok', 'Error'], 'Unset') AS StatusCode,
    tupleElement(`span.status`, 'message') AS StatusMessage,
    `span.start_time_unix_nano` AS started,
    if(`span.end_time_unix_nano` > started, `span.end_time_unix_nano` - started, 0) AS Duration,
    `span.end_time_unix_nano` < started AS EndBeforeStart,
    arrayReverse(tupleElement(`span.attributes`, 'key')) AS keys,
    arrayReverse(llmtrace_value_texts(tupleElement(`span.attributes`, 'value'))) AS texts,
    tupleElement(`span.events`, 'name') AS event_names,
    tupleElement(`span.events`, 'time_unix_nano') AS event_times,
    arrayMap(
        nested -> llmtrace_attributes(nested),
        arrayConcat(tupleElement(`span.events`, 'attributes'), tupleElement(`span.links`, 'attributes'))
    ) AS nested_maps,
    arrayMap(id -> lower(hex(id)), tupleElement(`span.links`, 'trace_id')) AS link_traces,
    arrayMap(id -> lower(hex(id)), tupleElement(`span.links`, 'span_id')) AS link_spans,
    tupleElement(`span.links`, 'trace_state') AS link_states
FROM (
    SELECT
        project,
        ReceivedAt,
        ResourceAttributes,
        tupleElement(tupleElement(scope_spans, 'scope'), 'name') AS scope_name,
        tupleElement(tupleElement(scope_spans, 'scope'), 'version') AS ScopeVersion,
        untuple(arrayJoin(tupleElement(scope_spans, 'spans'))) AS span
    FROM (
        SELECT
            project,
            ReceivedAt,
            llmtrace_attributes(tupleElement(tupleElement(resource_spans, 'resource'), 'attributes')) AS ResourceAttributes,
            arrayJoin(tupleElement(resource_spans, 'scope_spans')) AS scope_spans
        FROM (
            SELECT
                project,
                fromUnixTimestamp64Milli(toInt64(intDiv(received, 1000000))) AS ReceivedAt,
                arrayJoin(tupleElement(request, 'resource_spans')) AS resource_spans
            FROM otlp_foreign_in
        )
    )
)                            )
                            WHERE
(
    hasAny(keys, ['ai.prompt.messages', 'ai.prompt', 'request_data', 'mlflow.spanInputs', 'langfuse.observation.input',
'input.value', 'gen_ai.prompt', 'inputs', 'ai.value', 'gcp.vertex.agent.llm_request', 'llm.prompts.0.prompt.text',
'response_data', 'mlflow.spanOutputs', 'langfuse.observation.output', 'output.value', 'gen_ai.completion',
'output', 'llm.generated_message', 'gcp.vertex.agent.llm_response', 'llm.choices.0.completion.text',
'ai.response.object', 'ai.prompt.tools', 'mlflow.chat.tools', 'ai.response.text', 'ai.response.toolCalls',
'ai.response.reasoning', 'ai.result.text', 'ai.values', 'openinference.span.kind', 'llm.request.type',
'ai.operationId', 'langfuse.observation.type', 'mlflow.spanType', 'traceloop.span.kind', 'span_type',
'ai.response.msToFirstChunk', 'ai.stream.msToFirstChunk', 'gen_ai.server.time_to_first_token',
'langfuse.observation.completion_start_time', 'gen_ai.latency.time_in_queue', 'gen_ai.latency.e2e',
'llm.cost.prompt', 'llm.cost.completion', 'db.vector.query.top_k', 'pinecone.query.top_k',
'db.chroma.query.n_results', 'db.vector.query.embeddings_count', 'db.chroma.query.embeddings_count',
'db.chroma.query.texts_count', 'logfire.span_type', 'gen_ai.is_streaming', 'llm.is_streaming',
'model_request_parameters', 'pydantic_ai.all_messages', 'gen_ai.prompt.0.role', 'gen_ai.prompt.0.content',
'gen_ai.completion.0.role', 'gen_ai.completion.0.content', 'llm.input_messages.0.message.role',
'llm.output_messages.0.message.role', 'gen_ai.system', 'llm.provider', 'llm.system', 'ai.model.provider',
'mlflow.llm.provider', 'llm.vendor', 'llm.request.model_name', 'llm.invocation_parameters',
'embedding.invocation_parameters', 'ai.model.id', 'langfuse.observation.model.name', 'mlflow.llm.model',
'llm.request.model', 'embedding.model_name', 'reranker.model_name', 'llm.model_name', 'llm.response.model_name',
'ai.response.model', 'llm.response.model', 'ai.response.id', 'gen_ai.response.finish_reason',
'gen_ai.response.stop_reason', 'gen_ai.completion.0.finish_reason', 'llm.response.finish_reason',
'llm.response.stop_reason', 'llm.finish_reason', 'ai.response.finishReason', 'ai.finishReason',
'anthropic.message.stop_reason', 'langfuse.observation.metadata.finish_reason', 'enduser.id',
'langfuse.user.id', 'gen_ai.user', 'gen_ai.request.user', 'llm.user', 'traceloop.association.properties.user_id',
'ai.telemetry.metadata.userId', 'mlflow.trace.user', 'litellm.end_user.id', 'metadata.user_api_key_end_user_id',
'metadata.user_api_key_user_id', 'gen_ai.prompt.0.user', 'gen_ai.conversation.id', 'langfuse.session.id',
'traceloop.association.properties.session_id', 'ai.telemetry.metadata.sessionId', 'mlflow.trace.session',
'anthropic.session.id', 'session_id', 'tag.tags', 'langfuse.trace.tags', 'langfuse.tags', 'logfire.tags',
'ai.telemetry.metadata.tags', 'traceloop.prompt.key', 'langfuse.observation.prompt.name', 'prompt.id',
'traceloop.prompt.version', 'langfuse.observation.prompt.version', 'llm.prompt_template.version',
'gen_ai.usage.prompt_tokens', 'llm.token_count.prompt', 'ai.usage.inputTokens', 'ai.usage.promptTokens',
'ai.usage.tokens', 'mlflow.chat.tokenUsage', 'langfuse.observation.usage_details', 'llm.usage.prompt_tokens',
'gen_ai.usage.cache_read_input_tokens', 'gen_ai.usage.input_tokens.cached', 'gen_ai.usage.details.cache_read_tokens',
'gen_ai.usage.cached_tokens', 'llm.token_count.prompt_details.cache_read', 'llm.token_count.prompt_details.cache_input',
'ai.usage.inputTokenDetails.cacheReadTokens', 'ai.usage.cachedInputTokens', 'ai.response.providerMetadata',
'metadata.usage_object', 'gen_ai.usage.raw', 'gen_ai.usage.cache_creation.input_tokens', 'gen_ai.usage.cache_creation_input_tokens',
'gen_ai.usage.input_tokens.cache_write', 'gen_ai.usage.details.cache_write_tokens', 'llm.token_count.prompt_details.cache_write',
'ai.usage.inputTokenDetails.cacheWriteTokens', 'langfuse.observation.usage_details.input_cache_creation_1h',
'gen_ai.usage.details.input_audio_tokens', 'llm.token_count.prompt_details.audio', 'gen_ai.usage.details.input_image_tokens',
'gen_ai.usage.details.cache_audio_read_tokens', 'gen_ai.usage.completion_tokens', 'llm.token_count.completion',
'ai.usage.outputTokens', 'ai.usage.completionTokens', 'llm.usage.completion_tokens', 'gen_ai.usage.reasoning_tokens',
'gen_ai.usage.output_tokens.reasoning', 'gen_ai.usage.details.reasoning_tokens', 'llm.usage.reasoning_tokens',
'llm.token_count.completion_details.reasoning', 'ai.usage.outputTokenDetails.reasoningTokens',
'ai.usage.reasoningTokens', 'gen_ai.usage.details.output_audio_tokens', 'llm.token_count.completion_details.audio',
'gen_ai.usage.details.web_search_requests', 'gen_ai.client.operation.time_to_first_chunk',
'gen_ai.latency.time_to_first_token', 'gen_ai.usage.cost', 'gen_ai.usage.total_cost', 'gen_ai.usage.cost_usd',
'gen_ai.usage.cost.amount', 'litellm.cost.total', 'gen_ai.cost.total_cost', 'hidden_params',
'llm.cost.total', 'langfuse.observation.cost_details', 'langfuse.observation.cost_details.total',
'mlflow.llm.cost', 'operation.cost'])
    OR scope_name IN ('pydantic-ai', 'litellm')
)                                -- Logfire announces spans before they end; only the whole span is kept.
                                AND attrs['logfire.span_type'] != 'pending_span'
                        )
                    )
                )
            )
        )
    )
);
