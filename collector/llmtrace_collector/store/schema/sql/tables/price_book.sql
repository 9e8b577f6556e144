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
    Priced Bool COMMENT 'false: nobody knows a price',
{% for price in prices %}
    {{ price.name }} Nullable(Float64) COMMENT {{ price.comment | literal }},
{% endfor %}
    Currency LowCardinality(String) COMMENT 'Currency of the prices',
    Source String COMMENT 'Where the price comes from',
    UpdatedAt DateTime64(3) COMMENT 'When the row was written'
)
ENGINE = {{ engine('ReplacingMergeTree', 'UpdatedAt') }}
ORDER BY (Book, Provider, Model, ResponseModel, ServiceTier, ValidFrom, ContextFrom)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Prices by model, tier, context class and time. Books stay, one is in effect: the view price_now';
