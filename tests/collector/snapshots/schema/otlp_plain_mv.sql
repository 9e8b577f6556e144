CREATE MATERIALIZED VIEW otlp_plain_mv TO otel_traces AS
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
            (entry, occurrence) -> occurrence = 1 AND NOT entry.1 IN ('gen_ai.input.messages', 'gen_ai.output.messages', 'gen_ai.system_instructions', 'gen_ai.tool.definitions'),
            arrayZip(keys, texts),
            arrayEnumerateUniq(keys)
        ),
        'Map(LowCardinality(String), String)'
    ) AS SpanAttributes,
    Duration,
    EndBeforeStart,
    StatusCode,
    StatusMessage,
    multiIf(
        project != '', project,
        ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'],
        'default'
    ) AS Project,
    ReceivedAt,
    attrs['gen_ai.operation.name'] AS Operation,
    attrs['gen_ai.provider.name'] AS ReportedProvider,
    attrs['gen_ai.request.model'] AS RequestModel,
    attrs['gen_ai.response.model'] AS ResponseModel,
    attrs['gen_ai.response.id'] AS ResponseId,
    llmtrace_finish_reasons(attrs['gen_ai.response.finish_reasons']) AS FinishReasons,
    attrs['error.type'] AS ErrorType,
    attrs['user.id'] AS UserId,
    attrs['session.id'] AS SessionId,
    llmtrace_string_list(attrs['llmtrace.tags']) AS Tags,
    attrs['llmtrace.experiment'] AS Experiment,
    attrs['llmtrace.run'] AS RunId,
    attrs['gen_ai.prompt.name'] AS PromptName,
    attrs['gen_ai.prompt.version'] AS PromptVersion,
    llmtrace_purpose(attrs['llmtrace.purpose'], ResourceAttributes['llmtrace.purpose'], ResourceAttributes['llmtrace.simulated']) AS Purpose,
    llmtrace_count(llmtrace_first([
        attrs['gen_ai.usage.input_tokens'],
        attrs['llmtrace.usage.estimated.input_tokens']
    ])) AS InputTokens,
    llmtrace_count_or_0(attrs['gen_ai.usage.cache_read.input_tokens']) AS CacheReadTokens,
    llmtrace_count_or_0(attrs['gen_ai.usage.cache_write.input_tokens']) AS CacheWriteTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.cache_write_1h.input_tokens']), 0) AS CacheWrite1hTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['gen_ai.usage.audio.input_tokens']), 0) AS AudioInputTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['gen_ai.usage.image.input_tokens']), 0) AS ImageInputTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['gen_ai.usage.video.input_tokens']), 0) AS VideoInputTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.cache_read_audio.input_tokens']), 0) AS CacheReadAudioTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.cache_read_image.input_tokens']), 0) AS CacheReadImageTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.cache_read_video.input_tokens']), 0) AS CacheReadVideoTokens,
    llmtrace_count(llmtrace_first([
        attrs['gen_ai.usage.output_tokens'],
        attrs['llmtrace.usage.estimated.output_tokens']
    ])) AS OutputTokens,
    llmtrace_count_or_0(attrs['gen_ai.usage.reasoning.output_tokens']) AS ReasoningTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['gen_ai.usage.audio.output_tokens']), 0) AS AudioOutputTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['gen_ai.usage.image.output_tokens']), 0) AS ImageOutputTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['gen_ai.usage.video.output_tokens']), 0) AS VideoOutputTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.citation.output_tokens']), 0) AS CitationTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.web_searches']), 0) AS WebSearches,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.file_searches']), 0) AS FileSearches,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.rerank_searches']), 0) AS RerankSearches,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.code_containers']), 0) AS CodeContainers,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.audio_input_seconds']), 0) AS AudioInputSeconds,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.speech_characters']), 0) AS SpeechCharacters,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.generated_images']), 0) AS GeneratedImages,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.trained_tokens']), 0) AS TrainedTokens,
    if(IsLlm, llmtrace_count_or_0(attrs['llmtrace.usage.cache_storage_token_hours']), 0) AS CacheStorageTokenHours,
    llmtrace_seconds(attrs['llmtrace.response.time_to_first_byte']) AS TimeToFirstByte,
    llmtrace_seconds(attrs['gen_ai.response.time_to_first_chunk']) AS TimeToFirstToken,
    llmtrace_seconds(attrs['llmtrace.response.time_to_last_token']) AS TimeToLastToken,
    llmtrace_weight(attrs['llmtrace.sample.weight']) AS Weight,
    if(IsLlm, llmtrace_service_tier(llmtrace_first([
        attrs['llmtrace.response.service_tier'],
        attrs['openai.response.service_tier'],
        attrs['gen_ai.openai.response.service_tier'],
        attrs['anthropic.response.service_tier'],
        attrs['openai.request.service_tier'],
        attrs['gen_ai.openai.request.service_tier'],
        attrs['anthropic.request.service_tier'],
        attrs['llmtrace.request.service_tier']
    ]), attrs['llmtrace.response.cache_hit']), '') AS ServiceTier,
    if(IsLlm, attrs['llmtrace.account'], '') AS Account,
    if(IsLlm, llmtrace_stated_cost(attrs['llmtrace.usage.stated_cost'], attrs['llmtrace.usage.stated_currency'], attrs['gen_ai.usage.cost.currency']), NULL) AS StatedCost,
    if(IsLlm, attrs['llmtrace.usage.stated_by'], '') AS StatedBy,
    if(IsLlm, attrs['llmtrace.usage.estimated'], '') AS Estimated,
    attrs['gen_ai.input.messages'] AS InputMessages,
    attrs['gen_ai.output.messages'] AS OutputMessages,
    attrs['gen_ai.system_instructions'] AS SystemInstructions,
    attrs['gen_ai.tool.definitions'] AS ToolDefinitions,
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
        *,
        llmtrace_provider_evidence(
            llmtrace_is_llm(attrs['gen_ai.operation.name']),
            named_provider,
            called_host,
            called_model
        ) AS provider_evidence
    FROM (
        SELECT
            *,
            mapFromArrays(keys, texts) AS attrs,
            attrs['llmtrace.counted'] AS sender_counts,
            llmtrace_named_provider(scope_name, [attrs['gen_ai.provider.name']]) AS named_provider,
            llmtrace_host(attrs['server.address']) AS called_host,
            lower(llmtrace_model(attrs['gen_ai.request.model'], attrs['gen_ai.response.model'])) AS called_model
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
    emptyArrayString() AS event_names,
    emptyArrayString() AS link_states
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
            FROM otlp_plain_in
        )
    )
)        )
    )
);
