CREATE VIEW attempt_cost AS
SELECT
    usage.* EXCEPT (Units),
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    multiIf(usage.StatedBy = '', false, usage.StatedBy IN ('openrouter', 'perplexity', 'x_ai'), true, NOT price.Priced, true, startsWith(price.Source, 'genai-prices ')) AS Stated,
    (price.Priced OR Stated) AS Priced,
    if(price.Priced AND usage.UnknownUsage = 0, dotProduct(usage.Units, arrayResize(price.Rates, 21)) * ifNull(usage.Factor, 1), NULL) AS ComputedCost,
    multiIf(NOT Stated, ComputedCost, usage.StatedBy IN ('openrouter', 'perplexity', 'x_ai'), usage.StatedCost, usage.StatedCost * ifNull(usage.Factor, 1)) AS Cost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[1] * price.Rates[1] * ifNull(usage.Factor, 1), NULL) AS InputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[2] * price.Rates[2] * ifNull(usage.Factor, 1), NULL) AS CacheReadCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[3] * price.Rates[3] * ifNull(usage.Factor, 1), NULL) AS CacheWriteCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[4] * price.Rates[4] * ifNull(usage.Factor, 1), NULL) AS CacheWrite1hCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[5] * price.Rates[5] * ifNull(usage.Factor, 1), NULL) AS AudioInputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[6] * price.Rates[6] * ifNull(usage.Factor, 1), NULL) AS ImageInputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[7] * price.Rates[7] * ifNull(usage.Factor, 1), NULL) AS VideoInputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[8] * price.Rates[8] * ifNull(usage.Factor, 1), NULL) AS CacheReadAudioCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[9] * price.Rates[9] * ifNull(usage.Factor, 1), NULL) AS CacheReadImageCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[10] * price.Rates[10] * ifNull(usage.Factor, 1), NULL) AS CacheReadVideoCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[11] * price.Rates[11] * ifNull(usage.Factor, 1), NULL) AS OutputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[12] * price.Rates[12] * ifNull(usage.Factor, 1), NULL) AS ReasoningCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[13] * price.Rates[13] * ifNull(usage.Factor, 1), NULL) AS AudioOutputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[14] * price.Rates[14] * ifNull(usage.Factor, 1), NULL) AS ImageOutputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[15] * price.Rates[15] * ifNull(usage.Factor, 1), NULL) AS VideoOutputCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[16] * price.Rates[16] * ifNull(usage.Factor, 1), NULL) AS CitationCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[17] * price.Rates[17] * ifNull(usage.Factor, 1), NULL) AS RequestCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[18] * price.Rates[18] * ifNull(usage.Factor, 1), NULL) AS WebSearchCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[19] * price.Rates[19] * ifNull(usage.Factor, 1), NULL) AS FileSearchCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[20] * price.Rates[20] * ifNull(usage.Factor, 1), NULL) AS RerankSearchCost,
    multiIf(Stated, NULL, price.Priced AND usage.UnknownUsage = 0, usage.Units[21] * price.Rates[21] * ifNull(usage.Factor, 1), NULL) AS CodeContainerCost,
    multiIf(price.Priced AND usage.UnknownUsage = 0, dotProduct(usage.Units, arrayResize(price.Rates, 21)), Stated, usage.StatedCost, NULL) AS ListCost,
    if(price.Priced AND usage.UnknownUsage = 0, (usage.Units[3] * (price.Rates[3] - price.Rates[1]) + usage.Units[4] * (price.Rates[4] - price.Rates[1])) * ifNull(usage.Factor, 1), NULL) AS CacheWritePremium,
    if(price.Priced AND usage.UnknownUsage = 0, usage.CacheReadTokens * (price.Rates[1] - price.Rates[2]) * ifNull(usage.Factor, 1), NULL) - CacheWritePremium AS CacheSavings,
    multiIf(Stated, [], price.Priced AND usage.UnknownUsage = 0, arrayFilter(label -> label != '', [if(price.AudioInputPrice IS NULL AND usage.AudioInputTokens > 0, 'audio input', ''), if(price.AudioOutputPrice IS NULL AND usage.AudioOutputTokens > 0, 'audio output', ''), if(price.WebSearchPrice IS NULL AND usage.WebSearches > 0, 'web search', ''), if(price.FileSearchPrice IS NULL AND usage.FileSearches > 0, 'file search', ''), if(price.RerankSearchPrice IS NULL AND usage.RerankSearches > 0, 'rerank search', ''), if(price.CodeContainerPrice IS NULL AND usage.CodeContainers > 0, 'code container', '')]), []) AS UnpricedParts
FROM (SELECT usage.*, discount.Factor AS Factor, [greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens + usage.CacheReadVideoTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens - usage.VideoInputTokens, 0), greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens - usage.CacheReadVideoTokens, 0), greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0), toFloat64(usage.CacheWrite1hTokens), greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0), greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0), greatest(toFloat64(usage.VideoInputTokens) - usage.CacheReadVideoTokens, 0), toFloat64(usage.CacheReadAudioTokens), toFloat64(usage.CacheReadImageTokens), toFloat64(usage.CacheReadVideoTokens), greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens - usage.VideoOutputTokens - usage.CitationTokens, 0), toFloat64(usage.ReasoningTokens), toFloat64(usage.AudioOutputTokens), toFloat64(usage.ImageOutputTokens), toFloat64(usage.VideoOutputTokens), toFloat64(usage.CitationTokens), toFloat64((usage.Calls - usage.UnknownUsage)), toFloat64(usage.WebSearches), toFloat64(usage.FileSearches), toFloat64(usage.RerankSearches), toFloat64(usage.CodeContainers)] AS Units
FROM (SELECT
    Project,
    Timestamp,
    toDateTime(Timestamp, 'UTC') AS Time,
    TraceId,
    SpanId,
    ServiceName,
    Operation,
    UserId,
    SessionId,
    Tags,
    Account,
    Experiment,
    RunId,
    PromptName,
    PromptVersion,
    Purpose,
    Weight,
    Duration,
    TimeToFirstToken,
    ErrorType,
    SpanAttributes['llmtrace.stream.abandoned'] = 'true' AS Abandoned,
    Uncounted = '' AND StatusCode = 'Error' AS Errors,
    PromptHash,
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
    span.RerankSearches = 0
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
    span.CodeContainers AS CodeContainers
FROM otel_traces AS span
WHERE IsLlm AND Uncounted IN ('retry', 'sender') AND StatusCode = 'Error') AS usage
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
COMMENT 'Earlier attempts of calls, repeated after an error by a client or a loop of the program''s own, with what they cost in USD';
