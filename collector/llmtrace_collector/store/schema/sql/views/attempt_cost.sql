-- What a client's next attempt stands for, where it reported tokens of its own.
{% set calls %}
{% with which = "IsLlm AND Uncounted = 'sender' AND StatusCode = 'Error'" %}{% include 'parts/calls.sql' %}{% endwith %}
{% endset %}
CREATE VIEW attempt_cost AS
SELECT
    usage.*,
    price.Priced AS Priced,
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    {{ charges.of_calls }}
FROM {{ charges.priced('(' ~ calls ~ ')') }}
COMMENT 'Earlier attempts of calls that a client repeated after an error, with what they cost in USD';
