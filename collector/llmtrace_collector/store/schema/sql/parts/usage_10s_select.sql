{# Rows of usage_10s over the counted spans of `source`; `where` is a further condition. A span of weight 10 stands for
   ten calls: sums are weighted, and Spans counts the spans themselves. A late
   span, at whose hour the table may have lost rows already, never becomes one row with what was stored before. #}
{% from 'parts/bucket.sql' import kept with context %}
{% from 'parts/weighted.sql' import weighted, told, context_class with context %}
SELECT
    Project,
    toStartOfInterval(toDateTime(Timestamp), INTERVAL 10 SECOND) AS Time,
    ServiceName,
    Provider,
    Model,
    ResponseModel,
    Operation,
    UserId,
    Experiment,
    RunId,
    PromptName,
    PromptVersion,
    Purpose,
    {{ weighted('1') }} AS Calls,
    {{ weighted("StatusCode = 'Error'") }} AS Errors,
    {{ weighted('span.InputTokens IS NULL AND span.OutputTokens IS NULL') }} AS UnknownUsage,
{% for count in counts %}
    {{ weighted(told(count)) }} AS {{ count.name }},
{% endfor %}
    {{ weighted('Duration') }} AS DurationSum,
    count() AS Spans,
    countIf(UsageFault != '') AS UsageFaults,
    countIf(TimeToFirstToken IS NOT NULL) AS TtftCount,
    quantilesTDigestState(0.5, 0.95, 0.99)(toFloat64(Duration / 1e9)) AS LatencyDigest,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(
        ifNull(TimeToFirstToken, 0), TimeToFirstToken IS NOT NULL
    ) AS TtftDigest,
    ServiceTier,
    {{ context_class('span.InputTokens') }} AS ContextClass,
    Account,
    arraySort(span.Tags) AS Tags,
    if({{ kept('span.') }} AND span.Timestamp > now() - toIntervalDay(380), toDateTime64(0, 3), now64(3)) AS LateAt,
    now64(3) AS StoredAt
FROM {{ source }} AS span
WHERE Counted{% if where %} AND {{ where }}{% endif %}

GROUP BY Project, Time, ServiceName, Provider, Model, ResponseModel, Operation, UserId, Experiment, RunId,
    PromptName, PromptVersion, Purpose, ServiceTier, ContextClass, Account, Tags, LateAt
