CREATE TABLE own_prices (
    Provider LowCardinality(String) COMMENT 'Provider of the model',
    Model LowCardinality(String) COMMENT 'Model that is asked for',
    ValidFrom DateTime COMMENT 'Day from which the prices hold',
    ServiceTier LowCardinality(String) COMMENT 'Tier of the prices; empty for the standard one',
{% for price in prices %}
    {{ price.name }} {{ 'Float64' if price.name in ('InputPrice', 'OutputPrice') else 'Nullable(Float64)' }} COMMENT {{ price.comment | literal }},
{% endfor %}
    Currency LowCardinality(String) DEFAULT 'USD' COMMENT 'Currency of the prices',
    At DateTime64(3) COMMENT 'When they were set',
    Actor String COMMENT 'Who set them',
    Note String COMMENT 'What they say about it'
)
ENGINE = {{ engine('MergeTree') }}
ORDER BY (Provider, Model, ValidFrom, At)
SETTINGS {% include 'parts/durable.sql' %}

COMMENT 'Prices that people set, each from a day on; the newest row of a model, tier and day holds, all stay';
