CREATE MATERIALIZED VIEW otlp_traces_mv TO otel_traces AS
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
            FROM otlp_traces_in
        )
    )
)        )
        WHERE NOT (
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
)    )
);
