CREATE VIEW attempt_cost AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    if(price.Priced AND usage.UnknownUsage = 0, greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens, 0) * coalesce(price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS InputCost,
    if(price.Priced AND usage.UnknownUsage = 0, greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens, 0) * coalesce(price.CacheReadPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheReadCost,
    if(price.Priced AND usage.UnknownUsage = 0, greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0) * coalesce(price.CacheWritePrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheWriteCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.CacheWrite1hTokens) * coalesce(price.CacheWrite1hPrice, price.CacheWritePrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheWrite1hCost,
    if(price.Priced AND usage.UnknownUsage = 0, greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0) * coalesce(price.AudioInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS AudioInputCost,
    if(price.Priced AND usage.UnknownUsage = 0, greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0) * coalesce(price.ImageInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS ImageInputCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.CacheReadAudioTokens) * coalesce(price.CacheReadAudioPrice, price.CacheReadPrice, price.AudioInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheReadAudioCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.CacheReadImageTokens) * coalesce(price.CacheReadImagePrice, price.CacheReadPrice, price.ImageInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheReadImageCost,
    if(price.Priced AND usage.UnknownUsage = 0, greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens, 0) * coalesce(price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS OutputCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.ReasoningTokens) * coalesce(price.ReasoningPrice, price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS ReasoningCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.AudioOutputTokens) * coalesce(price.AudioOutputPrice, price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS AudioOutputCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.ImageOutputTokens) * coalesce(price.ImageOutputPrice, price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS ImageOutputCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64((usage.Calls - usage.UnknownUsage)) * coalesce(price.RequestPrice, 0) * ifNull(usage.Factor, 1), NULL) AS RequestCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.WebSearches) * coalesce(price.WebSearchPrice, 0) * ifNull(usage.Factor, 1), NULL) AS WebSearchCost,
    if(price.Priced AND usage.UnknownUsage = 0, toFloat64(usage.FileSearches) * coalesce(price.FileSearchPrice, 0) * ifNull(usage.Factor, 1), NULL) AS FileSearchCost,
    if(price.Priced AND usage.UnknownUsage = 0, greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens, 0) * coalesce(price.InputPrice, 0) + greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens, 0) * coalesce(price.CacheReadPrice, price.InputPrice, 0) + greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0) * coalesce(price.CacheWritePrice, price.InputPrice, 0) + toFloat64(usage.CacheWrite1hTokens) * coalesce(price.CacheWrite1hPrice, price.CacheWritePrice, price.InputPrice, 0) + greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0) * coalesce(price.AudioInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0) * coalesce(price.ImageInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadAudioTokens) * coalesce(price.CacheReadAudioPrice, price.CacheReadPrice, price.AudioInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadImageTokens) * coalesce(price.CacheReadImagePrice, price.CacheReadPrice, price.ImageInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens, 0) * coalesce(price.OutputPrice, 0) + toFloat64(usage.ReasoningTokens) * coalesce(price.ReasoningPrice, price.OutputPrice, 0) + toFloat64(usage.AudioOutputTokens) * coalesce(price.AudioOutputPrice, price.OutputPrice, 0) + toFloat64(usage.ImageOutputTokens) * coalesce(price.ImageOutputPrice, price.OutputPrice, 0) + toFloat64((usage.Calls - usage.UnknownUsage)) * coalesce(price.RequestPrice, 0) + toFloat64(usage.WebSearches) * coalesce(price.WebSearchPrice, 0) + toFloat64(usage.FileSearches) * coalesce(price.FileSearchPrice, 0), NULL) AS ListCost,
    if(price.Priced AND usage.UnknownUsage = 0, (greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens, 0) * coalesce(price.InputPrice, 0) + greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens, 0) * coalesce(price.CacheReadPrice, price.InputPrice, 0) + greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0) * coalesce(price.CacheWritePrice, price.InputPrice, 0) + toFloat64(usage.CacheWrite1hTokens) * coalesce(price.CacheWrite1hPrice, price.CacheWritePrice, price.InputPrice, 0) + greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0) * coalesce(price.AudioInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0) * coalesce(price.ImageInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadAudioTokens) * coalesce(price.CacheReadAudioPrice, price.CacheReadPrice, price.AudioInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadImageTokens) * coalesce(price.CacheReadImagePrice, price.CacheReadPrice, price.ImageInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens, 0) * coalesce(price.OutputPrice, 0) + toFloat64(usage.ReasoningTokens) * coalesce(price.ReasoningPrice, price.OutputPrice, 0) + toFloat64(usage.AudioOutputTokens) * coalesce(price.AudioOutputPrice, price.OutputPrice, 0) + toFloat64(usage.ImageOutputTokens) * coalesce(price.ImageOutputPrice, price.OutputPrice, 0) + toFloat64((usage.Calls - usage.UnknownUsage)) * coalesce(price.RequestPrice, 0) + toFloat64(usage.WebSearches) * coalesce(price.WebSearchPrice, 0) + toFloat64(usage.FileSearches) * coalesce(price.FileSearchPrice, 0)) * ifNull(usage.Factor, 1), NULL) AS Cost,
    if(price.Priced AND usage.UnknownUsage = 0, usage.CacheReadTokens * (coalesce(price.InputPrice, 0) - coalesce(price.CacheReadPrice, price.InputPrice, 0)) * ifNull(usage.Factor, 1), NULL) AS CacheSavings
FROM (SELECT usage.*, discount.Factor AS Factor
FROM (SELECT
    Project,
    Timestamp,
    toDateTime(Timestamp, 'UTC') AS Time,
    TraceId,
    SpanId,
    ServiceName,
    Provider,
    Model,
    ResponseModel,
    ServiceTier,
    toUInt32(arrayMax(arrayFilter(bound -> bound < greatest(ifNull(span.InputTokens, 0), 1), [0, 32000, 100000, 128000, 199999, 200000, 256000, 272000, 512000, 524288]))) AS ContextClass,
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
    1 AS Calls,
    StatusCode = 'Error' AS Errors,
    span.InputTokens IS NULL AND span.OutputTokens IS NULL AS UnknownUsage,
    ifNull(span.InputTokens, 0) AS InputTokens,
    ifNull(span.CacheReadTokens, 0) AS CacheReadTokens,
    ifNull(span.CacheWriteTokens, 0) AS CacheWriteTokens,
    ifNull(span.CacheWrite1hTokens, 0) AS CacheWrite1hTokens,
    ifNull(span.AudioInputTokens, 0) AS AudioInputTokens,
    ifNull(span.ImageInputTokens, 0) AS ImageInputTokens,
    ifNull(span.CacheReadAudioTokens, 0) AS CacheReadAudioTokens,
    ifNull(span.CacheReadImageTokens, 0) AS CacheReadImageTokens,
    ifNull(span.OutputTokens, 0) AS OutputTokens,
    ifNull(span.ReasoningTokens, 0) AS ReasoningTokens,
    ifNull(span.AudioOutputTokens, 0) AS AudioOutputTokens,
    ifNull(span.ImageOutputTokens, 0) AS ImageOutputTokens,
    ifNull(span.WebSearches, 0) AS WebSearches,
    ifNull(span.FileSearches, 0) AS FileSearches,
    PromptHash
FROM otel_traces AS span
WHERE IsLlm AND Uncounted = 'sender' AND StatusCode = 'Error') AS usage
LEFT JOIN discount_now AS discount
    ON usage.Project = discount.Project AND usage.Provider = discount.Provider
    AND usage.Model = discount.Model
    AND usage.Time >= discount.ValidFrom AND usage.Time < discount.ValidTo) AS usage
LEFT JOIN price_now AS price
    ON usage.Provider = price.Provider AND usage.Model = price.Model
    AND usage.ResponseModel = price.ResponseModel AND usage.ServiceTier = price.ServiceTier
    AND usage.Time >= price.ValidFrom AND usage.Time < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo
COMMENT 'Earlier attempts of calls that a client repeated after an error, with what they cost in USD';
