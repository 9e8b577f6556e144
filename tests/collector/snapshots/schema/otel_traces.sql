CREATE TABLE otel_traces (
    Timestamp DateTime64(9) COMMENT 'When the span began' CODEC(T64, ZSTD(1)),
    TraceId String COMMENT 'Id of the trace, 32 hexadecimal digits' CODEC(ZSTD(1)),
    SpanId String COMMENT 'Id of the span, 16 hexadecimal digits' CODEC(ZSTD(1)),
    ParentSpanId String COMMENT 'Id of the span above; empty for the root' CODEC(ZSTD(3)),
    TraceState String COMMENT 'State of W3C Trace Context' CODEC(ZSTD(1)),
    SpanName LowCardinality(String) COMMENT 'Name of the span' CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) COMMENT 'Internal, Server, Client, Producer, Consumer or Unspecified' CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) COMMENT 'Service that sent the span' CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of the resource' CODEC(ZSTD(6)),
    ScopeName String COMMENT 'Library that made the span' CODEC(ZSTD(1)),
    ScopeVersion String COMMENT 'Version of that library' CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of the span but those with a text column of their own' CODEC(ZSTD(4)),
    Duration UInt64 COMMENT 'Nanoseconds from begin to end' CODEC(T64, ZSTD(1)),
    StatusCode LowCardinality(String) COMMENT 'Ok, Error or Unset' CODEC(ZSTD(1)),
    StatusMessage String COMMENT 'What went wrong, in words' CODEC(ZSTD(1)),
    `Events.Timestamp` Array(DateTime64(9)) COMMENT 'When each event of the span was' CODEC(ZSTD(1)),
    `Events.Name` Array(LowCardinality(String)) COMMENT 'Name of each event' CODEC(ZSTD(1)),
    `Events.Attributes` Array(Map(LowCardinality(String), String)) COMMENT 'Attributes of each event' CODEC(ZSTD(1)),
    `Links.TraceId` Array(String) COMMENT 'Trace of each span that this one is linked to' CODEC(ZSTD(1)),
    `Links.SpanId` Array(String) COMMENT 'Id of each linked span' CODEC(ZSTD(1)),
    `Links.TraceState` Array(String) COMMENT 'State of each link' CODEC(ZSTD(1)),
    `Links.Attributes` Array(Map(LowCardinality(String), String)) COMMENT 'Attributes of each link' CODEC(ZSTD(1)),
    Project LowCardinality(String)
        DEFAULT if(ResourceAttributes['llmtrace.project'] != '', ResourceAttributes['llmtrace.project'], 'default')
        COMMENT 'Project whose data this is: that of the key, else of the resource',
    ReceivedAt DateTime64(3) DEFAULT now64(3) COMMENT 'When the collector received it' CODEC(T64, ZSTD(1)),
    RetentionDays UInt16 DEFAULT 30 COMMENT 'Days that the row is kept',
    StoredAt DateTime64(3) DEFAULT now64(3) COMMENT 'When the row was stored' CODEC(Delta(8), ZSTD(1)),
    Simulated Bool ALIAS Purpose = 'simulated' COMMENT 'Whether no model was asked; Purpose says more',
    EndBeforeStart Bool DEFAULT false COMMENT 'The span said that it ended before it began: Duration is 0',
    Operation LowCardinality(String)
        DEFAULT SpanAttributes['gen_ai.operation.name']
        COMMENT 'What the span does: chat, text_completion, generate_content, embeddings, rerank, transcription, translation, speech, moderation, fine_tuning, cache_storage, predict, or another step' CODEC(ZSTD(1)),
    ReportedProvider LowCardinality(String)
        DEFAULT llmtrace_first([
        SpanAttributes['gen_ai.provider.name'],
        SpanAttributes['gen_ai.system']
    ])
        COMMENT 'Provider as the emitter wrote it, or what it wrote in its place' CODEC(ZSTD(1)),
    RequestModel LowCardinality(String)
        DEFAULT SpanAttributes['gen_ai.request.model']
        COMMENT 'Model that was asked for' CODEC(ZSTD(1)),
    ResponseModel LowCardinality(String)
        DEFAULT SpanAttributes['gen_ai.response.model']
        COMMENT 'Model that answered' CODEC(ZSTD(1)),
    ResponseId String
        DEFAULT SpanAttributes['gen_ai.response.id']
        COMMENT 'The provider\'s id of the answer' CODEC(ZSTD(3)),
    FinishReasons Array(LowCardinality(String))
        DEFAULT llmtrace_finish_reasons(llmtrace_first([
        SpanAttributes['gen_ai.response.finish_reasons'],
        SpanAttributes['gen_ai.response.finish_reason'],
        SpanAttributes['gen_ai.response.stop_reason'],
        SpanAttributes['gen_ai.completion.0.finish_reason'],
        SpanAttributes['anthropic.message.stop_reason']
    ]))
        COMMENT 'Why each choice of the answer ended' CODEC(ZSTD(1)),
    ErrorType LowCardinality(String)
        DEFAULT SpanAttributes['error.type']
        COMMENT 'Kind of the error; empty without one' CODEC(ZSTD(1)),
    UserId String
        DEFAULT llmtrace_first([
        SpanAttributes['user.id'],
        SpanAttributes['enduser.id'],
        SpanAttributes['gen_ai.user'],
        SpanAttributes['gen_ai.request.user'],
        SpanAttributes['gen_ai.prompt.0.user']
    ])
        COMMENT 'User for whom was called' CODEC(ZSTD(3)),
    SessionId String
        DEFAULT llmtrace_first([
        SpanAttributes['session.id'],
        SpanAttributes['gen_ai.conversation.id'],
        SpanAttributes['anthropic.session.id']
    ])
        COMMENT 'Conversation that the span belongs to' CODEC(ZSTD(3)),
    Tags Array(LowCardinality(String))
        DEFAULT llmtrace_string_list(SpanAttributes['llmtrace.tags'])
        COMMENT 'Tags that the program gave' CODEC(ZSTD(1)),
    Experiment LowCardinality(String)
        DEFAULT SpanAttributes['llmtrace.experiment']
        COMMENT 'Experiment that the span belongs to' CODEC(ZSTD(1)),
    RunId LowCardinality(String)
        DEFAULT SpanAttributes['llmtrace.run']
        COMMENT 'Run of that experiment' CODEC(ZSTD(1)),
    PromptName LowCardinality(String)
        DEFAULT SpanAttributes['gen_ai.prompt.name']
        COMMENT 'Prompt that was used' CODEC(ZSTD(1)),
    PromptVersion LowCardinality(String)
        DEFAULT SpanAttributes['gen_ai.prompt.version']
        COMMENT 'Version of that prompt' CODEC(ZSTD(1)),
    Purpose LowCardinality(String)
        DEFAULT llmtrace_purpose(SpanAttributes['llmtrace.purpose'], ResourceAttributes['llmtrace.purpose'], ResourceAttributes['llmtrace.simulated'])
        COMMENT 'What the call was for: product, simulated, bench, replay, evaluation, judge or playground' CODEC(ZSTD(1)),
    InputTokens Nullable(UInt64)
        DEFAULT llmtrace_count(llmtrace_first([
        SpanAttributes['gen_ai.usage.input_tokens'],
        SpanAttributes['llmtrace.usage.estimated.input_tokens'],
        SpanAttributes['gen_ai.usage.prompt_tokens']
    ]))
        COMMENT 'Tokens of input, cached ones among them; NULL where nobody told' CODEC(T64, ZSTD(1)),
    CacheReadTokens UInt64
        DEFAULT llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['gen_ai.usage.cache_read.input_tokens'],
        SpanAttributes['gen_ai.usage.cache_read_input_tokens'],
        SpanAttributes['gen_ai.usage.input_tokens.cached'],
        SpanAttributes['gen_ai.usage.details.cache_read_tokens'],
        SpanAttributes['gen_ai.usage.cached_tokens']
    ]))
        COMMENT 'Tokens of input that were read from the cache' CODEC(T64, ZSTD(1)),
    CacheWriteTokens UInt64
        DEFAULT llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['gen_ai.usage.cache_write.input_tokens'],
        SpanAttributes['gen_ai.usage.cache_creation.input_tokens'],
        SpanAttributes['gen_ai.usage.cache_creation_input_tokens'],
        SpanAttributes['gen_ai.usage.input_tokens.cache_write'],
        SpanAttributes['gen_ai.usage.details.cache_write_tokens']
    ]))
        COMMENT 'Tokens of input that were written to the cache' CODEC(T64, ZSTD(1)),
    CacheWrite1hTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.cache_write_1h.input_tokens']), 0)
        COMMENT 'Tokens written to the cache for an hour',
    AudioInputTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['gen_ai.usage.audio.input_tokens'],
        SpanAttributes['gen_ai.usage.details.input_audio_tokens']
    ])), 0)
        COMMENT 'Tokens of input that were audio',
    ImageInputTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['gen_ai.usage.image.input_tokens'],
        SpanAttributes['gen_ai.usage.details.input_image_tokens']
    ])), 0)
        COMMENT 'Tokens of input that were images',
    VideoInputTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['gen_ai.usage.video.input_tokens']), 0)
        COMMENT 'Tokens of input that were video',
    CacheReadAudioTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['llmtrace.usage.cache_read_audio.input_tokens'],
        SpanAttributes['gen_ai.usage.details.cache_audio_read_tokens']
    ])), 0)
        COMMENT 'Tokens of audio that were read from the cache',
    CacheReadImageTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.cache_read_image.input_tokens']), 0)
        COMMENT 'Tokens of images that were read from the cache',
    CacheReadVideoTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.cache_read_video.input_tokens']), 0)
        COMMENT 'Tokens of video that were read from the cache',
    OutputTokens Nullable(UInt64)
        DEFAULT llmtrace_count(llmtrace_first([
        SpanAttributes['gen_ai.usage.output_tokens'],
        SpanAttributes['llmtrace.usage.estimated.output_tokens'],
        SpanAttributes['gen_ai.usage.completion_tokens']
    ]))
        COMMENT 'Tokens of output, those of reasoning among them; NULL where nobody told' CODEC(T64, ZSTD(1)),
    ReasoningTokens UInt64
        DEFAULT llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['gen_ai.usage.reasoning.output_tokens'],
        SpanAttributes['gen_ai.usage.reasoning_tokens'],
        SpanAttributes['gen_ai.usage.output_tokens.reasoning'],
        SpanAttributes['gen_ai.usage.details.reasoning_tokens']
    ]))
        COMMENT 'Tokens of output that were reasoning' CODEC(T64, ZSTD(1)),
    AudioOutputTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['gen_ai.usage.audio.output_tokens'],
        SpanAttributes['gen_ai.usage.details.output_audio_tokens']
    ])), 0)
        COMMENT 'Tokens of output that were audio',
    ImageOutputTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['gen_ai.usage.image.output_tokens']), 0)
        COMMENT 'Tokens of output that were images',
    VideoOutputTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['gen_ai.usage.video.output_tokens']), 0)
        COMMENT 'Tokens of output that were video',
    CitationTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.citation.output_tokens']), 0)
        COMMENT 'Tokens of output that were cited sources',
    WebSearches UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(llmtrace_first([
        SpanAttributes['llmtrace.usage.web_searches'],
        SpanAttributes['gen_ai.usage.details.web_search_requests']
    ])), 0)
        COMMENT 'Searches of the web that the provider ran',
    FileSearches UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.file_searches']), 0)
        COMMENT 'Searches of files that the provider ran',
    RerankSearches UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.rerank_searches']), 0)
        COMMENT 'Search units of rerankers',
    CodeContainers UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.code_containers']), 0)
        COMMENT 'Containers that the provider\'s code interpreter ran in',
    AudioInputSeconds UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.audio_input_seconds']), 0)
        COMMENT 'Seconds of sound that were transcribed, where those are billed',
    SpeechCharacters UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.speech_characters']), 0)
        COMMENT 'Characters of text that were spoken, where those are billed',
    GeneratedImages UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.generated_images']), 0)
        COMMENT 'Images that were made, where those are billed and no tokens',
    TrainedTokens UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.trained_tokens']), 0)
        COMMENT 'Tokens that a fine-tuning job trained on',
    CacheStorageTokenHours UInt64
        DEFAULT if(IsLlm, llmtrace_count_or_0(SpanAttributes['llmtrace.usage.cache_storage_token_hours']), 0)
        COMMENT 'Token-hours: tokens of a cache times the hours that it is kept',
    TimeToFirstByte Nullable(Float64)
        DEFAULT llmtrace_seconds(SpanAttributes['llmtrace.response.time_to_first_byte'])
        COMMENT 'Seconds from begin to the first byte of the answer' CODEC(ZSTD(1)),
    TimeToFirstToken Nullable(Float64)
        DEFAULT llmtrace_seconds(llmtrace_first([
        SpanAttributes['gen_ai.response.time_to_first_chunk'],
        SpanAttributes['gen_ai.client.operation.time_to_first_chunk'],
        SpanAttributes['gen_ai.latency.time_to_first_token']
    ]))
        COMMENT 'Seconds from begin to the first token' CODEC(ZSTD(1)),
    TimeToLastToken Nullable(Float64)
        DEFAULT llmtrace_seconds(SpanAttributes['llmtrace.response.time_to_last_token'])
        COMMENT 'Seconds from begin to the last token' CODEC(ZSTD(1)),
    Weight Float64
        DEFAULT llmtrace_weight(SpanAttributes['llmtrace.sample.weight'])
        COMMENT 'Calls that a sampled span stands for; 1 for the others' CODEC(ZSTD(1)),
    ServiceTier LowCardinality(String)
        DEFAULT if(IsLlm, llmtrace_service_tier(llmtrace_first([
        SpanAttributes['llmtrace.response.service_tier'],
        SpanAttributes['openai.response.service_tier'],
        SpanAttributes['gen_ai.openai.response.service_tier'],
        SpanAttributes['anthropic.response.service_tier'],
        SpanAttributes['openai.request.service_tier'],
        SpanAttributes['gen_ai.openai.request.service_tier'],
        SpanAttributes['anthropic.request.service_tier'],
        SpanAttributes['llmtrace.request.service_tier']
    ]), SpanAttributes['llmtrace.response.cache_hit']), '')
        COMMENT 'Tier by which prices differ; empty for the standard one, response_cache for no model',
    Account LowCardinality(String)
        DEFAULT if(IsLlm, SpanAttributes['llmtrace.account'], '')
        COMMENT 'Account at the provider that pays',
    StatedCost Nullable(Float64)
        DEFAULT if(IsLlm, llmtrace_stated_cost(llmtrace_first([
        SpanAttributes['llmtrace.usage.stated_cost'],
        SpanAttributes['gen_ai.usage.cost'],
        SpanAttributes['gen_ai.usage.total_cost'],
        SpanAttributes['gen_ai.usage.cost_usd'],
        SpanAttributes['gen_ai.usage.cost.amount'],
        SpanAttributes['gen_ai.cost.total_cost']
    ]), SpanAttributes['llmtrace.usage.stated_currency'], SpanAttributes['gen_ai.usage.cost.currency']), NULL)
        COMMENT 'USD that StatedBy says the call cost; NULL where nobody said, or what was said can be no cost' CODEC(ZSTD(1)),
    StatedBy LowCardinality(String)
        DEFAULT if(IsLlm, SpanAttributes['llmtrace.usage.stated_by'], '')
        COMMENT 'Who said what the call cost: the biller in its answer, a gateway, a framework; empty for nobody',
    Estimated LowCardinality(String)
        DEFAULT if(IsLlm, SpanAttributes['llmtrace.usage.estimated'], '')
        COMMENT 'Which of its tokens are estimated from text, for nobody told: input, output, input+output; or empty',
    InputMessages String COMMENT 'Messages that were sent, JSON of the GenAI conventions' CODEC(ZSTD(3)),
    OutputMessages String COMMENT 'Messages that came back, JSON of the GenAI conventions' CODEC(ZSTD(3)),
    SystemInstructions String COMMENT 'Instructions apart from the messages, JSON of the GenAI conventions' CODEC(ZSTD(3)),
    ToolDefinitions String COMMENT 'Tools that the model could call, JSON of the GenAI conventions' CODEC(ZSTD(3)),
    Model LowCardinality(String)
        DEFAULT llmtrace_model(RequestModel, ResponseModel)
        COMMENT 'Model that was asked for, else the one that answered' CODEC(ZSTD(1)),
    IsLlm Bool
        DEFAULT llmtrace_is_llm(Operation)
        COMMENT 'Whether the span calls a model' CODEC(ZSTD(1)),
    Provider LowCardinality(String)
        DEFAULT llmtrace_provider_name(ReportedProvider)
        COMMENT 'Provider that was called, by the conventions\' name; unknown where nothing tells' CODEC(ZSTD(1)),
    ProviderSource LowCardinality(String)
        DEFAULT ''
        COMMENT 'What told the provider: empty for the emitter, address, or inferred from the model: prefix or list' CODEC(ZSTD(1)),
    Uncounted LowCardinality(String)
        DEFAULT llmtrace_uncounted(IsLlm, SpanAttributes['llmtrace.counted'], SpanKind, ParentSpanId, SpanName, InputTokens)
        COMMENT 'Why it is no call of its own: sender, server, no_request, repeats, duplicate, retry; or empty' CODEC(ZSTD(1)),
    Counted Bool
        DEFAULT llmtrace_counted(IsLlm, Uncounted)
        COMMENT 'Whether usage and cost count the span: a call, or a retried attempt that was billed' CODEC(ZSTD(1)),
    UsageFault LowCardinality(String)
        DEFAULT llmtrace_usage_fault(InputTokens, OutputTokens, CacheReadTokens, CacheWriteTokens, CacheWrite1hTokens, ReasoningTokens, AudioInputTokens + ImageInputTokens + VideoInputTokens, AudioOutputTokens + ImageOutputTokens + VideoOutputTokens)
        COMMENT 'What in its token counts contradicts itself; empty for nothing' CODEC(ZSTD(1)),
    TimePerOutputToken Nullable(Float64)
        DEFAULT llmtrace_time_per_output_token(TimeToFirstToken, TimeToLastToken, Duration, OutputTokens)
        COMMENT 'Seconds from one output token to the next; reasoning tokens count: too short where not streamed' CODEC(ZSTD(1)),
    TpotEstimated Bool
        DEFAULT llmtrace_tpot_estimated(TimePerOutputToken, TimeToLastToken)
        COMMENT 'Whether TimePerOutputToken takes the span\'s end for the last token\'s time' CODEC(ZSTD(1)),
    PromptHash UInt64
        DEFAULT llmtrace_prompt_hash(Model, InputMessages, SystemInstructions, ToolDefinitions)
        COMMENT 'Hash of model, messages, instructions and tools: equal for equal requests; 0 without messages' CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_response_id ResponseId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attribute_values mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_user UserId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_session SessionId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_stored_at StoredAt TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(Timestamp))
ORDER BY (Project, toStartOfMinute(Timestamp), ServiceName, SpanName, Timestamp)
TTL toDateTime(Timestamp) + toIntervalDay(RetentionDays)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, ttl_only_drop_parts = 1, index_granularity = 2048
COMMENT 'Spans: the columns of the OpenTelemetry Collector''s ClickHouse exporter, then ours';
