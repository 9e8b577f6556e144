CREATE VIEW cost_hour AS
SELECT
    usage.* EXCEPT (Units),
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    {{ charges.unit_prices }},
    {{ charges.of_rows }}
FROM {{ charges.priced('usage_hour') }}
COMMENT 'usage_hour with its cost in USD: of each bucket, by the list, with discounts, and what caching saved';
