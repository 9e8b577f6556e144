CREATE VIEW traces AS
SELECT Project, TraceId, Start, End, Duration, RootName, RootService, RootKind, Operation, Status, HasRoot, Spans, Steps,
    FailedSteps, Retries, Calls, Errors, UnknownUsage, InputTokens, CacheReadTokens, CacheWriteTokens, ImageInputTokens, OutputTokens, ReasoningTokens, Models,
    Services, UserId, SessionId, Tags, Experiment, RunId, PromptName, PromptVersion, Purpose, FinishReasons, ErrorTypes,
    TimeToFirstToken, HasImage, HasRetrieval, Abandoned, Weight, RetentionDays, Version
FROM trace_rows FINAL
UNION ALL
WITH (SELECT max(ScannedTo) FROM rollup_passes WHERE Name = 'traces without root') AS edge
SELECT Project, TraceId, Start, End, Duration, RootName, RootService, RootKind, Operation, Status, HasRoot, Spans, Steps,
    FailedSteps, Retries, Calls, Errors, UnknownUsage, InputTokens, CacheReadTokens, CacheWriteTokens, ImageInputTokens, OutputTokens, ReasoningTokens, Models,
    Services, UserId, SessionId, Tags, Experiment, RunId, PromptName, PromptVersion, Purpose, FinishReasons, ErrorTypes,
    TimeToFirstToken, HasImage, HasRetrieval, Abandoned, Weight, RetentionDays, 0 AS Version
FROM (SELECT
    span.Project AS Project,
    span.TraceId AS TraceId,
    min(span.Timestamp) AS Start,
    fromUnixTimestamp64Nano(max(toUnixTimestamp64Nano(span.Timestamp) + toInt64(span.Duration))) AS End,
    toUInt64(toUnixTimestamp64Nano(End) - toUnixTimestamp64Nano(Start)) AS Duration,
    argMin(span.SpanName, toUnixTimestamp64Nano(span.Timestamp) + if(span.ParentSpanId = '', 0, 4611686018427387904)) AS RootName,
    argMin(span.ServiceName, toUnixTimestamp64Nano(span.Timestamp) + if(span.ParentSpanId = '', 0, 4611686018427387904)) AS RootService,
    argMin(span.SpanKind, toUnixTimestamp64Nano(span.Timestamp) + if(span.ParentSpanId = '', 0, 4611686018427387904)) AS RootKind,
    argMin(span.Operation, toUnixTimestamp64Nano(span.Timestamp) + if(span.ParentSpanId = '', 0, 4611686018427387904)) AS Operation,
    multiIf(argMin(span.StatusCode, toUnixTimestamp64Nano(span.Timestamp) + if(span.ParentSpanId = '', 0, 4611686018427387904)) = 'Error', 'failed', FailedSteps > 0, 'recovered', 'ok') AS Status,
    max(span.ParentSpanId = '') AS HasRoot,
    count() AS Spans,
    toUInt64(Spans - Retries) AS Steps,
    toUInt64(countIf(span.StatusCode = 'Error') - Retries) AS FailedSteps,
    countIf((span.Uncounted IN ('retry', 'sender') AND span.StatusCode = 'Error')) AS Retries,
    countIf(span.Counted AND span.Uncounted = '') AS Calls,
    countIf(span.Counted AND span.Uncounted = '' AND span.StatusCode = 'Error') AS Errors,
    countIf(span.Counted AND span.Uncounted = '' AND span.InputTokens IS NULL AND span.OutputTokens IS NULL) AS UnknownUsage,
    sumIf(ifNull(span.InputTokens, 0), span.Counted) AS InputTokens,
    sumIf(ifNull(span.CacheReadTokens, 0), span.Counted) AS CacheReadTokens,
    sumIf(ifNull(span.CacheWriteTokens, 0), span.Counted) AS CacheWriteTokens,
    sumIf(ifNull(span.ImageInputTokens, 0), span.Counted) AS ImageInputTokens,
    sumIf(ifNull(span.OutputTokens, 0), span.Counted) AS OutputTokens,
    sumIf(ifNull(span.ReasoningTokens, 0), span.Counted) AS ReasoningTokens,
    arraySort(arrayDistinct(groupArrayIf(span.Model, span.Counted AND span.Model != ''))) AS Models,
    arraySort(arrayDistinct(groupArray(span.ServiceName))) AS Services,
    argMinIf(span.UserId, span.Timestamp, span.UserId != '') AS UserId,
    argMinIf(span.SessionId, span.Timestamp, span.SessionId != '') AS SessionId,
    arraySort(arrayDistinct(groupArrayArray(span.Tags))) AS Tags,
    argMinIf(span.Experiment, span.Timestamp, span.Experiment != '') AS Experiment,
    argMinIf(span.RunId, span.Timestamp, span.RunId != '') AS RunId,
    argMinIf(span.PromptName, span.Timestamp, span.PromptName != '') AS PromptName,
    argMinIf(span.PromptVersion, span.Timestamp, span.PromptName != '') AS PromptVersion,
    argMin(span.Purpose, toUnixTimestamp64Nano(span.Timestamp) + if(span.ParentSpanId = '', 0, 4611686018427387904)) AS Purpose,
    arraySort(arrayDistinct(groupArrayArray(span.FinishReasons))) AS FinishReasons,
    arraySort(arrayDistinct(groupArrayIf(span.ErrorType, span.ErrorType != ''))) AS ErrorTypes,
    argMinIf(span.TimeToFirstToken, span.Timestamp, span.Counted) AS TimeToFirstToken,
    max(multiSearchAny(span.InputMessages, ['"modality":"image"', '"modality": "image"'])) AS HasImage,
    max(span.Operation = 'retrieval') AS HasRetrieval,
    max(span.SpanAttributes['llmtrace.stream.abandoned'] = 'true') AS Abandoned,
    max(span.Weight) AS Weight,
    max(span.RetentionDays) AS RetentionDays
FROM otel_traces AS span
WHERE span.StoredAt >= edge - INTERVAL 1 HOUR AND span.Timestamp >= edge - INTERVAL 1 DAY
    AND (span.Project, span.TraceId) IN (SELECT Project, TraceId FROM otel_traces WHERE StoredAt >= edge AND Timestamp >= edge - INTERVAL 1 DAY AND TraceId != '')
    AND (span.Project, span.TraceId) NOT IN (
        SELECT Project, TraceId FROM trace_rows
        WHERE Start >= edge - INTERVAL 1 DAY AND (Start >= edge - INTERVAL 2 HOUR OR NOT HasRoot)
            AND TraceId IN (SELECT TraceId FROM otel_traces WHERE StoredAt >= edge AND Timestamp >= edge - INTERVAL 1 DAY AND TraceId != '')
    )
GROUP BY Project, TraceId
)
COMMENT 'Traces as a whole: how each ended, what it took, used and holds; Version is 0 until it is quiet';
