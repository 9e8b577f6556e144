CREATE VIEW prices AS
SELECT
    Provider,
    Model,
    ResponseModel,
    Priced,
    InputPrice,
    CacheReadPrice,
    CacheWritePrice,
    OutputPrice,
    Currency,
    Source,
    Book AS Version,
    UpdatedAt
FROM price_now
WHERE ServiceTier = '' AND ContextFrom = 0 AND DayFrom = 0 AND ValidFrom <= now() AND now() < ValidTo
COMMENT 'One flat price a model: that of today, for short inputs in the standard tier';
