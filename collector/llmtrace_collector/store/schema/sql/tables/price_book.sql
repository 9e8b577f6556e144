CREATE TABLE price_book (
    Book String COMMENT 'Book that the price is in',
    Provider LowCardinality(String) COMMENT 'Provider of the model',
    Model LowCardinality(String) COMMENT 'Model that is asked for',
    ResponseModel LowCardinality(String) COMMENT 'Model that answers',
    ServiceTier LowCardinality(String) COMMENT 'Tier of the price; empty for the standard one',
    ValidFrom DateTime COMMENT 'Holds for calls from here on',
    ValidTo DateTime COMMENT 'and before this',
    ContextFrom UInt32 COMMENT 'Holds for context classes from here on',
    ContextTo UInt32 COMMENT 'and below this',
    DayFrom UInt16 COMMENT 'Holds from this minute of the day on, UTC',
    DayTo UInt16 DEFAULT 1440 COMMENT 'and before this',
    Priced Bool COMMENT 'false: nobody knows a price',
{% for price in prices %}
    {{ price.name }} Nullable(Float64) COMMENT {{ price.comment | literal }},
{% endfor %}
    Rates Array(Float64) MATERIALIZED {{ charges.rates }} COMMENT 'The prices in this order, each that is missing filled in: what costs are computed with',
    Currency LowCardinality(String) COMMENT 'Currency of the prices',
    Source String COMMENT 'Where the price comes from',
    UpdatedAt DateTime64(3) COMMENT 'When the row was written'
)
ENGINE = {{ engine('ReplacingMergeTree', 'UpdatedAt') }}
ORDER BY (Book, Provider, Model, ResponseModel, ServiceTier, ValidFrom, ContextFrom, DayFrom)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Prices by model, tier, context class, day and time of day. Books stay, one is in effect: the view price_now';
