CREATE VIEW usage_cost AS
SELECT
    usage.* EXCEPT (Units),
    price.Currency AS Currency,
    {{ charges.of_rows }}
FROM {{ charges.priced('usage_10s') }}
COMMENT 'usage_10s with its cost in USD, by the formula of cost_hour: for pages that are live';
