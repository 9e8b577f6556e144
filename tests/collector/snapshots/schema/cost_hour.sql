CREATE VIEW cost_hour AS
SELECT
    usage.* EXCEPT (Units),
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    price.Rates[1] AS InputPrice,
    price.Rates[2] AS CacheReadPrice,
    price.Rates[3] AS CacheWritePrice,
    price.Rates[4] AS CacheWrite1hPrice,
    price.Rates[5] AS AudioInputPrice,
    price.Rates[6] AS ImageInputPrice,
    price.Rates[7] AS VideoInputPrice,
    price.Rates[8] AS CacheReadAudioPrice,
    price.Rates[9] AS CacheReadImagePrice,
    price.Rates[10] AS CacheReadVideoPrice,
    price.Rates[11] AS OutputPrice,
    price.Rates[12] AS ReasoningPrice,
    price.Rates[13] AS AudioOutputPrice,
    price.Rates[14] AS ImageOutputPrice,
    price.Rates[15] AS VideoOutputPrice,
    price.Rates[16] AS CitationPrice,
    price.Rates[17] AS TrainingPrice,
    price.Rates[18] AS RequestPrice,
    price.Rates[19] AS WebSearchPrice,
    price.Rates[20] AS FileSearchPrice,
    price.Rates[21] AS RerankSearchPrice,
    price.Rates[22] AS CodeContainerPrice,
    price.Rates[23] AS AudioTimePrice,
    price.Rates[24] AS SpokenTextPrice,
    price.Rates[25] AS GeneratedImagePrice,
    price.Rates[26] AS CacheStoragePrice,
    multiIf(usage.StatedBy = '', false, usage.StatedBy IN ('openrouter', 'perplexity', 'x_ai'), true, NOT price.Priced, true, startsWith(price.Source, 'genai-prices ')) AS Stated,
    (price.Priced OR Stated) AS Priced,
    if(price.Priced, dotProduct(usage.Units, arrayResize(price.Rates, 26)) * ifNull(usage.Factor, 1), NULL) AS ComputedCost,
    multiIf(NOT Stated, ComputedCost, usage.StatedBy IN ('openrouter', 'perplexity', 'x_ai'), usage.StatedCost, usage.StatedCost * ifNull(usage.Factor, 1)) AS Cost,
    multiIf(Stated, NULL, price.Priced, usage.Units[1] * price.Rates[1] * ifNull(usage.Factor, 1), NULL) AS InputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[2] * price.Rates[2] * ifNull(usage.Factor, 1), NULL) AS CacheReadCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[3] * price.Rates[3] * ifNull(usage.Factor, 1), NULL) AS CacheWriteCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[4] * price.Rates[4] * ifNull(usage.Factor, 1), NULL) AS CacheWrite1hCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[5] * price.Rates[5] * ifNull(usage.Factor, 1), NULL) AS AudioInputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[6] * price.Rates[6] * ifNull(usage.Factor, 1), NULL) AS ImageInputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[7] * price.Rates[7] * ifNull(usage.Factor, 1), NULL) AS VideoInputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[8] * price.Rates[8] * ifNull(usage.Factor, 1), NULL) AS CacheReadAudioCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[9] * price.Rates[9] * ifNull(usage.Factor, 1), NULL) AS CacheReadImageCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[10] * price.Rates[10] * ifNull(usage.Factor, 1), NULL) AS CacheReadVideoCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[11] * price.Rates[11] * ifNull(usage.Factor, 1), NULL) AS OutputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[12] * price.Rates[12] * ifNull(usage.Factor, 1), NULL) AS ReasoningCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[13] * price.Rates[13] * ifNull(usage.Factor, 1), NULL) AS AudioOutputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[14] * price.Rates[14] * ifNull(usage.Factor, 1), NULL) AS ImageOutputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[15] * price.Rates[15] * ifNull(usage.Factor, 1), NULL) AS VideoOutputCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[16] * price.Rates[16] * ifNull(usage.Factor, 1), NULL) AS CitationCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[17] * price.Rates[17] * ifNull(usage.Factor, 1), NULL) AS TrainingCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[18] * price.Rates[18] * ifNull(usage.Factor, 1), NULL) AS RequestCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[19] * price.Rates[19] * ifNull(usage.Factor, 1), NULL) AS WebSearchCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[20] * price.Rates[20] * ifNull(usage.Factor, 1), NULL) AS FileSearchCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[21] * price.Rates[21] * ifNull(usage.Factor, 1), NULL) AS RerankSearchCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[22] * price.Rates[22] * ifNull(usage.Factor, 1), NULL) AS CodeContainerCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[23] * price.Rates[23] * ifNull(usage.Factor, 1), NULL) AS AudioTimeCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[24] * price.Rates[24] * ifNull(usage.Factor, 1), NULL) AS SpokenTextCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[25] * price.Rates[25] * ifNull(usage.Factor, 1), NULL) AS GeneratedImageCost,
    multiIf(Stated, NULL, price.Priced, usage.Units[26] * price.Rates[26] * ifNull(usage.Factor, 1), NULL) AS CacheStorageCost,
    multiIf(price.Priced, dotProduct(usage.Units, arrayResize(price.Rates, 26)), Stated, usage.StatedCost, NULL) AS ListCost,
    if(price.Priced, (usage.Units[3] * (price.Rates[3] - price.Rates[1]) + usage.Units[4] * (price.Rates[4] - price.Rates[1])) * ifNull(usage.Factor, 1), NULL) AS CacheWritePremium,
    if(price.Priced, usage.CacheReadTokens * (price.Rates[1] - price.Rates[2]) * ifNull(usage.Factor, 1), NULL) - CacheWritePremium AS CacheSavings,
    multiIf(Stated, [], price.Priced, arrayFilter(label -> label != '', [if(price.AudioInputPrice IS NULL AND usage.AudioInputTokens > 0, 'audio input', ''), if(price.AudioOutputPrice IS NULL AND usage.AudioOutputTokens > 0, 'audio output', ''), if(price.TrainingPrice IS NULL AND usage.TrainedTokens > 0, 'training', ''), if(price.WebSearchPrice IS NULL AND usage.WebSearches > 0, 'web search', ''), if(price.FileSearchPrice IS NULL AND usage.FileSearches > 0, 'file search', ''), if(price.RerankSearchPrice IS NULL AND usage.RerankSearches > 0, 'rerank search', ''), if(price.CodeContainerPrice IS NULL AND usage.CodeContainers > 0, 'code container', ''), if(price.AudioTimePrice IS NULL AND usage.AudioInputSeconds > 0, 'audio time', ''), if(price.SpokenTextPrice IS NULL AND usage.SpeechCharacters > 0, 'spoken text', ''), if(price.GeneratedImagePrice IS NULL AND usage.GeneratedImages > 0, 'generated image', ''), if(price.CacheStoragePrice IS NULL AND usage.CacheStorageTokenHours > 0, 'cache storage', '')]), []) AS UnpricedParts
FROM (SELECT usage.*, discount.Factor AS Factor, [greatest(toFloat64(usage.InputTokens) + usage.CacheReadAudioTokens + usage.CacheReadImageTokens + usage.CacheReadVideoTokens - usage.CacheReadTokens - usage.CacheWriteTokens - usage.AudioInputTokens - usage.ImageInputTokens - usage.VideoInputTokens, 0), greatest(toFloat64(usage.CacheReadTokens) - usage.CacheReadAudioTokens - usage.CacheReadImageTokens - usage.CacheReadVideoTokens, 0), greatest(toFloat64(usage.CacheWriteTokens) - usage.CacheWrite1hTokens, 0), toFloat64(usage.CacheWrite1hTokens), greatest(toFloat64(usage.AudioInputTokens) - usage.CacheReadAudioTokens, 0), greatest(toFloat64(usage.ImageInputTokens) - usage.CacheReadImageTokens, 0), greatest(toFloat64(usage.VideoInputTokens) - usage.CacheReadVideoTokens, 0), toFloat64(usage.CacheReadAudioTokens), toFloat64(usage.CacheReadImageTokens), toFloat64(usage.CacheReadVideoTokens), greatest(toFloat64(usage.OutputTokens) - usage.ReasoningTokens - usage.AudioOutputTokens - usage.ImageOutputTokens - usage.VideoOutputTokens - usage.CitationTokens, 0), toFloat64(usage.ReasoningTokens), toFloat64(usage.AudioOutputTokens), toFloat64(usage.ImageOutputTokens), toFloat64(usage.VideoOutputTokens), toFloat64(usage.CitationTokens), toFloat64(usage.TrainedTokens), toFloat64((usage.Calls - usage.UnknownUsage)), toFloat64(usage.WebSearches), toFloat64(usage.FileSearches), toFloat64(usage.RerankSearches), toFloat64(usage.CodeContainers), toFloat64(usage.AudioInputSeconds), toFloat64(usage.SpeechCharacters), toFloat64(usage.GeneratedImages), toFloat64(usage.CacheStorageTokenHours)] AS Units
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
    AND usage.DayClass >= price.DayFrom AND usage.DayClass < price.DayTo
COMMENT 'usage_hour with its cost in USD: of each bucket, by the list, with discounts, and what caching saved';
