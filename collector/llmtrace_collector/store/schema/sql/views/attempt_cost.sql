-- What a client's next attempt stands for, where it reported tokens of its own.
{% set calls %}
{% with which = "IsLlm AND Uncounted IN ('retry', 'sender') AND StatusCode = 'Error'", bare = false %}{% include 'parts/calls.sql' %}{% endwith %}
{% endset %}
CREATE VIEW attempt_cost AS
SELECT
    usage.* EXCEPT (Units),
    price.Currency AS Currency,
    price.Source AS PriceSource,
    price.Book AS Book,
    {{ charges.of_calls }}
FROM {{ charges.priced('(' ~ calls ~ ')') }}
COMMENT 'Earlier attempts of calls, repeated after an error by a client or a loop of the program''s own, with what they cost in USD';
