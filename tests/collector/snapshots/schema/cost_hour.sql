CREATE VIEW cost_hour AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    coalesce(price.InputPrice, 0) AS InputPrice,
    coalesce(price.CacheReadPrice, price.InputPrice, 0) AS CacheReadPrice,
    coalesce(price.CacheWritePrice, price.InputPrice, 0) AS CacheWritePrice,
    coalesce(price.CacheWrite1hPrice, price.CacheWritePrice, price.InputPrice, 0) AS CacheWrite1hPrice,
    coalesce(price.AudioInputPrice, price.InputPrice, 0) AS AudioInputPrice,
    coalesce(price.ImageInputPrice, price.InputPrice, 0) AS ImageInputPrice,
    coalesce(price.CacheReadAudioPrice, price.CacheReadPrice, price.AudioInputPrice, price.InputPrice, 0) AS CacheReadAudioPrice,
    coalesce(price.CacheReadImagePrice, price.CacheReadPrice, price.ImageInputPrice, price.InputPrice, 0) AS CacheReadImagePrice,
    coalesce(price.OutputPrice, 0) AS OutputPrice,
    coalesce(price.ReasoningPrice, price.OutputPrice, 0) AS ReasoningPrice,
    coalesce(price.AudioOutputPrice, price.OutputPrice, 0) AS AudioOutputPrice,
    coalesce(price.ImageOutputPrice, price.OutputPrice, 0) AS ImageOutputPrice,
    coalesce(price.RequestPrice, 0) AS RequestPrice,
    coalesce(price.WebSearchPrice, 0) AS WebSearchPrice,
    coalesce(price.FileSearchPrice, 0) AS FileSearchPrice,
    if(price.Priced, greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens, 0) * coalesce(price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS InputCost,
    if(price.Priced, greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens, 0) * coalesce(price.CacheReadPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheReadCost,
    if(price.Priced, greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0) * coalesce(price.CacheWritePrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheWriteCost,
    if(price.Priced, toFloat64(usage.CacheWrite1hTokens) * coalesce(price.CacheWrite1hPrice, price.CacheWritePrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheWrite1hCost,
    if(price.Priced, greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0) * coalesce(price.AudioInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS AudioInputCost,
    if(price.Priced, greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0) * coalesce(price.ImageInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS ImageInputCost,
    if(price.Priced, toFloat64(usage.CacheReadAudioTokens) * coalesce(price.CacheReadAudioPrice, price.CacheReadPrice, price.AudioInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheReadAudioCost,
    if(price.Priced, toFloat64(usage.CacheReadImageTokens) * coalesce(price.CacheReadImagePrice, price.CacheReadPrice, price.ImageInputPrice, price.InputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS CacheReadImageCost,
    if(price.Priced, greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens, 0) * coalesce(price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS OutputCost,
    if(price.Priced, toFloat64(usage.ReasoningTokens) * coalesce(price.ReasoningPrice, price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS ReasoningCost,
    if(price.Priced, toFloat64(usage.AudioOutputTokens) * coalesce(price.AudioOutputPrice, price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS AudioOutputCost,
    if(price.Priced, toFloat64(usage.ImageOutputTokens) * coalesce(price.ImageOutputPrice, price.OutputPrice, 0) * ifNull(usage.Factor, 1), NULL) AS ImageOutputCost,
    if(price.Priced, toFloat64((usage.Calls - usage.UnknownUsage)) * coalesce(price.RequestPrice, 0) * ifNull(usage.Factor, 1), NULL) AS RequestCost,
    if(price.Priced, toFloat64(usage.WebSearches) * coalesce(price.WebSearchPrice, 0) * ifNull(usage.Factor, 1), NULL) AS WebSearchCost,
    if(price.Priced, toFloat64(usage.FileSearches) * coalesce(price.FileSearchPrice, 0) * ifNull(usage.Factor, 1), NULL) AS FileSearchCost,
    if(price.Priced, greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens, 0) * coalesce(price.InputPrice, 0) + greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens, 0) * coalesce(price.CacheReadPrice, price.InputPrice, 0) + greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0) * coalesce(price.CacheWritePrice, price.InputPrice, 0) + toFloat64(usage.CacheWrite1hTokens) * coalesce(price.CacheWrite1hPrice, price.CacheWritePrice, price.InputPrice, 0) + greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0) * coalesce(price.AudioInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0) * coalesce(price.ImageInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadAudioTokens) * coalesce(price.CacheReadAudioPrice, price.CacheReadPrice, price.AudioInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadImageTokens) * coalesce(price.CacheReadImagePrice, price.CacheReadPrice, price.ImageInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens, 0) * coalesce(price.OutputPrice, 0) + toFloat64(usage.ReasoningTokens) * coalesce(price.ReasoningPrice, price.OutputPrice, 0) + toFloat64(usage.AudioOutputTokens) * coalesce(price.AudioOutputPrice, price.OutputPrice, 0) + toFloat64(usage.ImageOutputTokens) * coalesce(price.ImageOutputPrice, price.OutputPrice, 0) + toFloat64((usage.Calls - usage.UnknownUsage)) * coalesce(price.RequestPrice, 0) + toFloat64(usage.WebSearches) * coalesce(price.WebSearchPrice, 0) + toFloat64(usage.FileSearches) * coalesce(price.FileSearchPrice, 0), NULL) AS ListCost,
    if(price.Priced, (greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens, 0) * coalesce(price.InputPrice, 0) + greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens, 0) * coalesce(price.CacheReadPrice, price.InputPrice, 0) + greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0) * coalesce(price.CacheWritePrice, price.InputPrice, 0) + toFloat64(usage.CacheWrite1hTokens) * coalesce(price.CacheWrite1hPrice, price.CacheWritePrice, price.InputPrice, 0) + greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0) * coalesce(price.AudioInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0) * coalesce(price.ImageInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadAudioTokens) * coalesce(price.CacheReadAudioPrice, price.CacheReadPrice, price.AudioInputPrice, price.InputPrice, 0) + toFloat64(usage.CacheReadImageTokens) * coalesce(price.CacheReadImagePrice, price.CacheReadPrice, price.ImageInputPrice, price.InputPrice, 0) + greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens, 0) * coalesce(price.OutputPrice, 0) + toFloat64(usage.ReasoningTokens) * coalesce(price.ReasoningPrice, price.OutputPrice, 0) + toFloat64(usage.AudioOutputTokens) * coalesce(price.AudioOutputPrice, price.OutputPrice, 0) + toFloat64(usage.ImageOutputTokens) * coalesce(price.ImageOutputPrice, price.OutputPrice, 0) + toFloat64((usage.Calls - usage.UnknownUsage)) * coalesce(price.RequestPrice, 0) + toFloat64(usage.WebSearches) * coalesce(price.WebSearchPrice, 0) + toFloat64(usage.FileSearches) * coalesce(price.FileSearchPrice, 0)) * ifNull(usage.Factor, 1), NULL) AS Cost,
    if(price.Priced, usage.CacheReadTokens * (coalesce(price.InputPrice, 0) - coalesce(price.CacheReadPrice, price.InputPrice, 0)) * ifNull(usage.Factor, 1), NULL) AS CacheSavings
FROM (SELECT usage.*, discount.Factor AS Factor
FROM usage_hour AS usage
LEFT JOIN discount_now AS discount
    ON usage.Project = discount.Project AND usage.Provider = discount.Provider
    AND usage.Model = discount.Model
    AND usage.Time >= discount.ValidFrom AND usage.Time < discount.ValidTo) AS usage
LEFT JOIN price_now AS price
    ON usage.Provider = price.Provider AND usage.Model = price.Model
    AND usage.ResponseModel = price.ResponseModel AND usage.ServiceTier = price.ServiceTier
    AND usage.Time >= price.ValidFrom AND usage.Time < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo
COMMENT 'usage_hour with its cost in USD: of each bucket, by the list, with discounts, and what caching saved';
