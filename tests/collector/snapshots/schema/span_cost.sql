CREATE VIEW span_cost AS
SELECT
    usage.Project AS Project,
    usage.Timestamp AS Timestamp,
    usage.TraceId AS TraceId,
    usage.SpanId AS SpanId,
    usage.StatedBy AS StatedBy,
    usage.Estimated AS Estimated,
    multiIf(usage.StatedBy = '', false, usage.StatedBy IN ('openrouter', 'perplexity', 'x_ai'), true, NOT price.Priced, true, startsWith(price.Source, 'genai-prices ')) AS Stated,
    (price.Priced OR Stated) AS Priced,
    if(price.Priced AND usage.UnknownUsage = 0, dotProduct(usage.Units, arrayResize(price.Rates, 26)) * ifNull(usage.Factor, 1), NULL) AS ComputedCost,
    multiIf(NOT Stated, ComputedCost, usage.StatedBy IN ('openrouter', 'perplexity', 'x_ai'), usage.StatedCost, usage.StatedCost * ifNull(usage.Factor, 1)) AS Cost,
    price.Currency AS Currency,
    price.Source AS PriceSource
FROM (SELECT usage.*, discount.Factor AS Factor, [greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens + usage.CacheReadVideoTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens - usage.VideoInputTokens, 0), greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens - usage.CacheReadVideoTokens, 0), greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0), toFloat64(usage.CacheWrite1hTokens), greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0), greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0), greatest(toFloat64(usage.VideoInputTokens) - usage.CacheReadVideoTokens, 0), toFloat64(usage.CacheReadAudioTokens), toFloat64(usage.CacheReadImageTokens), toFloat64(usage.CacheReadVideoTokens), greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens - usage.VideoOutputTokens - usage.CitationTokens, 0), toFloat64(usage.ReasoningTokens), toFloat64(usage.AudioOutputTokens), toFloat64(usage.ImageOutputTokens), toFloat64(usage.VideoOutputTokens), toFloat64(usage.CitationTokens), toFloat64(usage.TrainedTokens), toFloat64((usage.Calls - usage.UnknownUsage)), toFloat64(usage.WebSearches), toFloat64(usage.FileSearches), toFloat64(usage.RerankSearches), toFloat64(usage.CodeContainers), toFloat64(usage.AudioInputSeconds), toFloat64(usage.SpeechCharacters), toFloat64(usage.GeneratedImages), toFloat64(usage.CacheStorageTokenHours)] AS Units
FROM (SELECT
    Project,
    Timestamp,
    toDateTime(Timestamp, 'UTC') AS Time,
    TraceId,
    SpanId,
    Provider,
    Model,
    ResponseModel,
    ServiceTier,
    toUInt32(roundDown(greatest(ifNull(span.InputTokens, 0), 1) - 1, [0, 32000, 100000, 128000, 199999, 200000, 256000, 272000, 512000, 524288])) AS ContextClass,
    toUInt16(roundDown(intDiv(toUInt32(toUnixTimestamp(span.Timestamp)) % 86400, 60), [0, 30, 60, 240, 360, 600, 990])) AS DayClass,
    span.StatedCost AS StatedCost,
    llmtrace_stating(span.StatedCost, span.StatedBy) AS StatedBy,
    Estimated,
    Uncounted = '' AS Calls,
    multiIf(
    span.InputTokens IS NOT NULL, false,
    span.OutputTokens IS NOT NULL, false,
    span.ServiceTier = 'response_cache', false,
    span.Operation IN ('moderation'), false,    span.RerankSearches = 0 AND    span.AudioInputSeconds = 0 AND    span.SpeechCharacters = 0 AND    span.GeneratedImages = 0 AND    span.TrainedTokens = 0 AND    span.CacheStorageTokenHours = 0
) AND NOT (Counted AND Uncounted != '') AS UnknownUsage,
    ifNull(span.InputTokens, 0) AS InputTokens,
    least(span.CacheReadTokens, ifNull(span.InputTokens, 0)) AS CacheReadTokens,
    least(span.CacheWriteTokens, toUInt64(greatest(ifNull(span.InputTokens, 0), span.CacheReadTokens) - (span.CacheReadTokens))) AS CacheWriteTokens,
    least(span.CacheWrite1hTokens, least(span.CacheWriteTokens, toUInt64(greatest(ifNull(span.InputTokens, 0), span.CacheReadTokens) - (span.CacheReadTokens)))) AS CacheWrite1hTokens,
    (least(toUInt64(greatest(span.AudioInputTokens, span.CacheReadAudioTokens) - (span.CacheReadAudioTokens)), toUInt64(greatest(ifNull(span.InputTokens, 0), span.CacheReadTokens + span.CacheWriteTokens) - (span.CacheReadTokens + span.CacheWriteTokens))) + least(least(span.CacheReadAudioTokens, span.AudioInputTokens), least(span.CacheReadTokens, ifNull(span.InputTokens, 0)))) AS AudioInputTokens,
    (least(toUInt64(greatest(span.ImageInputTokens, span.CacheReadImageTokens) - (span.CacheReadImageTokens)), toUInt64(greatest(toUInt64(greatest(ifNull(span.InputTokens, 0), span.CacheReadTokens + span.CacheWriteTokens) - (span.CacheReadTokens + span.CacheWriteTokens)), toUInt64(greatest(span.AudioInputTokens, span.CacheReadAudioTokens) - (span.CacheReadAudioTokens))) - (toUInt64(greatest(span.AudioInputTokens, span.CacheReadAudioTokens) - (span.CacheReadAudioTokens))))) + least(least(span.CacheReadImageTokens, span.ImageInputTokens), toUInt64(greatest(least(span.CacheReadTokens, ifNull(span.InputTokens, 0)), span.CacheReadAudioTokens) - (span.CacheReadAudioTokens)))) AS ImageInputTokens,
    (least(toUInt64(greatest(span.VideoInputTokens, span.CacheReadVideoTokens) - (span.CacheReadVideoTokens)), toUInt64(greatest(toUInt64(greatest(ifNull(span.InputTokens, 0), span.CacheReadTokens + span.CacheWriteTokens) - (span.CacheReadTokens + span.CacheWriteTokens)), toUInt64(greatest(span.AudioInputTokens, span.CacheReadAudioTokens) - (span.CacheReadAudioTokens)) + toUInt64(greatest(span.ImageInputTokens, span.CacheReadImageTokens) - (span.CacheReadImageTokens))) - (toUInt64(greatest(span.AudioInputTokens, span.CacheReadAudioTokens) - (span.CacheReadAudioTokens)) + toUInt64(greatest(span.ImageInputTokens, span.CacheReadImageTokens) - (span.CacheReadImageTokens))))) + least(least(span.CacheReadVideoTokens, span.VideoInputTokens), toUInt64(greatest(least(span.CacheReadTokens, ifNull(span.InputTokens, 0)), span.CacheReadAudioTokens + span.CacheReadImageTokens) - (span.CacheReadAudioTokens + span.CacheReadImageTokens)))) AS VideoInputTokens,
    least(least(span.CacheReadAudioTokens, span.AudioInputTokens), least(span.CacheReadTokens, ifNull(span.InputTokens, 0))) AS CacheReadAudioTokens,
    least(least(span.CacheReadImageTokens, span.ImageInputTokens), toUInt64(greatest(least(span.CacheReadTokens, ifNull(span.InputTokens, 0)), span.CacheReadAudioTokens) - (span.CacheReadAudioTokens))) AS CacheReadImageTokens,
    least(least(span.CacheReadVideoTokens, span.VideoInputTokens), toUInt64(greatest(least(span.CacheReadTokens, ifNull(span.InputTokens, 0)), span.CacheReadAudioTokens + span.CacheReadImageTokens) - (span.CacheReadAudioTokens + span.CacheReadImageTokens))) AS CacheReadVideoTokens,
    ifNull(span.OutputTokens, 0) AS OutputTokens,
    least(span.ReasoningTokens, ifNull(span.OutputTokens, 0)) AS ReasoningTokens,
    least(span.AudioOutputTokens, toUInt64(greatest(ifNull(span.OutputTokens, 0), span.ReasoningTokens) - (span.ReasoningTokens))) AS AudioOutputTokens,
    least(span.ImageOutputTokens, toUInt64(greatest(ifNull(span.OutputTokens, 0), span.ReasoningTokens + span.AudioOutputTokens) - (span.ReasoningTokens + span.AudioOutputTokens))) AS ImageOutputTokens,
    least(span.VideoOutputTokens, toUInt64(greatest(ifNull(span.OutputTokens, 0), span.ReasoningTokens + span.AudioOutputTokens + span.ImageOutputTokens) - (span.ReasoningTokens + span.AudioOutputTokens + span.ImageOutputTokens))) AS VideoOutputTokens,
    least(span.CitationTokens, toUInt64(greatest(ifNull(span.OutputTokens, 0), span.ReasoningTokens + span.AudioOutputTokens + span.ImageOutputTokens + span.VideoOutputTokens) - (span.ReasoningTokens + span.AudioOutputTokens + span.ImageOutputTokens + span.VideoOutputTokens))) AS CitationTokens,
    span.WebSearches AS WebSearches,
    span.FileSearches AS FileSearches,
    span.RerankSearches AS RerankSearches,
    span.CodeContainers AS CodeContainers,
    span.AudioInputSeconds AS AudioInputSeconds,
    span.SpeechCharacters AS SpeechCharacters,
    span.GeneratedImages AS GeneratedImages,
    span.TrainedTokens AS TrainedTokens,
    span.CacheStorageTokenHours AS CacheStorageTokenHours
FROM otel_traces AS span
WHERE Counted) AS usage
LEFT JOIN discount_now AS discount
    ON usage.Project = discount.Project AND usage.Provider = discount.Provider
    AND usage.Model = discount.Model
    AND usage.Time >= discount.ValidFrom AND usage.Time < discount.ValidTo) AS usage
LEFT JOIN price_now AS price
    ON usage.Provider = price.Provider AND usage.Model = price.Model
    AND usage.ResponseModel = price.ResponseModel AND usage.ServiceTier = price.ServiceTier
    AND usage.Time >= price.ValidFrom AND usage.Time < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo
    AND usage.DayClass >= price.DayFrom AND usage.DayClass < price.DayTo
COMMENT 'What each counted call cost in USD';
