-- Prices that people set, each from a day on; the newest row of a model and day holds. All are kept.
CREATE TABLE IF NOT EXISTS own_prices (
    Provider LowCardinality(String),
    Model LowCardinality(String),
    ValidFrom DateTime,
    InputPrice Float64,
    CacheReadPrice Nullable(Float64),
    CacheWritePrice Nullable(Float64),
    OutputPrice Float64,
    At DateTime64(3),
    Actor String,
    Note String
)
ENGINE = MergeTree
ORDER BY (Provider, Model, ValidFrom, At)
SETTINGS {durable};
