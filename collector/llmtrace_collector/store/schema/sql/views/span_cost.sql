{# Not made of call_cost, which has the same: a column that is never asked for is planned all the same. #}
{% set calls %}{% with which = 'Counted', bare = true %}{% include 'parts/calls.sql' %}{% endwith %}{% endset %}
CREATE VIEW span_cost AS
SELECT
    usage.Project AS Project,
    usage.Timestamp AS Timestamp,
    usage.TraceId AS TraceId,
    usage.SpanId AS SpanId,
    usage.StatedBy AS StatedBy,
    usage.Estimated AS Estimated,
    {{ charges.cost_of_calls }},
    price.Currency AS Currency,
    price.Source AS PriceSource
FROM {{ charges.priced('(' ~ calls ~ ')') }}
COMMENT 'What each counted call cost in USD'
