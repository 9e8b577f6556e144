{% set calls %}{% with which = 'Counted', bare = false %}{% include 'parts/calls.sql' %}{% endwith %}{% endset %}
CREATE VIEW call_cost AS
SELECT
    usage.* EXCEPT (Units),
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    {{ charges.unit_prices }},
    {{ charges.of_calls }}
FROM {{ charges.priced('(' ~ calls ~ ')') }}
COMMENT 'Each counted call with what it cost in USD, why and at which prices; Cost is what was stated, else computed; NULL where price or tokens are unknown, Weight is how many calls a sampled one stands for';
