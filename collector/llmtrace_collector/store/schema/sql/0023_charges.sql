-- Every bucket that is charged, from the span to its cost; discounts; one formula behind all views of cost.
-- Rollups and views that changed since they were first made are made here, so that they stand once.

ALTER TABLE otel_traces
{span_columns};

ALTER TABLE usage_10s
{count_columns},
    ADD COLUMN IF NOT EXISTS ServiceTier LowCardinality(String),
    ADD COLUMN IF NOT EXISTS ContextClass UInt32,
    MODIFY ORDER BY (Project, Time, Model, ServiceName, Provider, ResponseModel, Operation, UserId, Experiment, RunId, PromptName, PromptVersion, Simulated, ServiceTier, ContextClass);

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_10s_mv TO usage_10s AS
{usage_select};

ALTER TABLE usage_10s_mv MODIFY QUERY
{usage_select};

ALTER TABLE usage_hour
{count_columns},
    ADD COLUMN IF NOT EXISTS Account LowCardinality(String),
    ADD COLUMN IF NOT EXISTS Tags Array(LowCardinality(String)),
    MODIFY ORDER BY (Project, Time, Model, Provider, ResponseModel, ServiceTier, ContextClass, ServiceName, Operation, UserId, Experiment, RunId, PromptName, PromptVersion, Simulated, Account, Tags);

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_hour_mv TO usage_hour AS
{hour_select};

ALTER TABLE usage_hour_mv MODIFY QUERY
{hour_select};

ALTER TABLE price_book
{price_columns};

ALTER TABLE own_prices
{price_columns},
    ADD COLUMN IF NOT EXISTS ServiceTier LowCardinality(String);

-- Discounts as people set them, each from a day on; empty names stand for all. The newest row of a key and
-- day holds; all are kept.
CREATE TABLE IF NOT EXISTS own_discounts (
    Project LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    ValidFrom DateTime,
    Percent Float64,
    At DateTime64(3),
    Actor String,
    Note String
)
ENGINE = MergeTree
ORDER BY (Project, Provider, Model, ValidFrom, At)
SETTINGS {durable};

-- What a book's discounts come to for each project, provider and model that was seen: what is paid of a list
-- price, for calls in [ValidFrom, ValidTo). No row: all of it.
CREATE TABLE IF NOT EXISTS discount_book (
    Book String,
    Project LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    ValidFrom DateTime,
    ValidTo DateTime,
    Factor Nullable(Float64),
    UpdatedAt DateTime64(3)
)
ENGINE = ReplacingMergeTree(UpdatedAt)
ORDER BY (Book, Project, Provider, Model, ValidFrom)
SETTINGS {durable};

-- Capacity that is paid whether used or not: reserved units, GPU hours, hosting of fine-tuned models. A row is
-- `Units` at `Price` each `Period` (hour, month) or once for all its time (total). The newest of an Id holds.
CREATE TABLE IF NOT EXISTS fixed_costs (
    Id String,
    Kind LowCardinality(String),
    Name String,
    Project LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    Units Float64,
    Price Float64,
    Period LowCardinality(String),
    ValidFrom DateTime,
    ValidTo DateTime,
    Removed Bool,
    At DateTime64(3),
    Actor String,
    Note String
)
ENGINE = MergeTree
ORDER BY (Id, At)
SETTINGS {durable};

CREATE OR REPLACE VIEW price_now AS
SELECT * FROM price_book FINAL
WHERE Book = (SELECT argMax(Book, At) FROM price_books);

CREATE OR REPLACE VIEW discount_now AS
SELECT * FROM discount_book FINAL
WHERE Book = (SELECT argMax(Book, At) FROM price_books);

-- One flat price a model: that of today, for short inputs in the standard tier.
DROP TABLE IF EXISTS prices;

CREATE OR REPLACE VIEW prices AS
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
WHERE ServiceTier = '' AND ContextFrom = 0 AND ValidFrom <= now() AND now() < ValidTo;

CREATE OR REPLACE VIEW cost_hour AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    {unit_prices},
    {charges}
FROM {priced_hours};

-- One row per counted call with what it cost, why, and at which prices. Cost is NULL where the price or the
-- token counts are not known. Weight says for how many calls a sampled one stands.
CREATE OR REPLACE VIEW call_cost AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    {unit_prices},
    {call_charges}
FROM {priced_calls};

-- The same for earlier attempts of calls that a client repeated after an error.
CREATE OR REPLACE VIEW attempt_cost AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    {call_charges}
FROM {priced_attempts};

-- Ten-second usage with its cost, and the cost of single spans: the same formula, for pages that are live.
CREATE OR REPLACE VIEW usage_cost AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    {charges}
FROM {priced_usage};

CREATE OR REPLACE VIEW span_cost AS
SELECT Project, Timestamp, TraceId, SpanId, Priced, Cost, Currency, PriceSource
FROM call_cost
