{# Rows of usage_10s over the counted spans of `source`; `where` is a further condition. A span of weight 10 stands for
   ten calls: sums are weighted, and Spans counts the spans themselves. A late
   span, at whose hour the table may have lost rows already, never becomes one row with what was stored before. #}
{% from 'parts/bucket.sql' import kept with context %}
{% from 'parts/weighted.sql' import weighted, within, unknown_usage, context_class, day_class with context %}
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
    -- An attempt that was billed is no call. Nothing is one yet when it is inserted.
    {{ weighted('1' if inserted else "Uncounted = ''") }} AS Calls,
    {{ weighted(('' if inserted else "Uncounted = '' AND ") ~ "StatusCode = 'Error'") }} AS Errors,
    {{ weighted(unknown_usage() if inserted else "Uncounted = '' AND " ~ unknown_usage()) }} AS UnknownUsage,
    -- Money is no whole number.
    sum(if(StatedBy = '', 0, Weight * ifNull(span.StatedCost, 0))) AS StatedCost,
{% for count in counts %}
    {{ weighted(within(count)) }} AS {{ count.name }},
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
    {{ day_class('span.Timestamp') }} AS DayClass,
    Account,
    llmtrace_stating(span.StatedCost, span.StatedBy) AS StatedBy,
    Estimated,
    arraySort(span.Tags) AS Tags,
    if({{ kept('span.') }} AND span.Timestamp > now() - toIntervalDay(380), toDateTime64(0, 3), now64(3)) AS LateAt,
    now64(3) AS StoredAt
FROM {{ source }} AS span
WHERE Counted{% if where %} AND {{ where }}{% endif %}

GROUP BY Project, Time, ServiceName, Provider, Model, ResponseModel, Operation, UserId, Experiment, RunId,
    PromptName, PromptVersion, Purpose, ServiceTier, ContextClass, DayClass, Account, StatedBy, Estimated,
    Tags, LateAt
