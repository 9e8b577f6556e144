{# Every call for which `which` holds, as costs are made of it; with nothing else of it where it is `bare`. #}
{% from 'parts/weighted.sql' import context_class, day_class, unknown_usage, within with context %}
SELECT
    Project,
    Timestamp,
    toDateTime(Timestamp, 'UTC') AS Time,
    TraceId,
    SpanId,
{% if not bare %}
    ServiceName,
    Operation,
    UserId,
    SessionId,
    Tags,
    Account,
    Experiment,
    RunId,
    PromptName,
    PromptVersion,
    Purpose,
    Weight,
    Duration,
    TimeToFirstToken,
    ErrorType,
    SpanAttributes['llmtrace.stream.abandoned'] = 'true' AS Abandoned,
    Uncounted = '' AND StatusCode = 'Error' AS Errors,
    PromptHash,
{% endif %}
    Provider,
    Model,
    ResponseModel,
    ServiceTier,
    {{ context_class('span.InputTokens') }} AS ContextClass,
    {{ day_class('span.Timestamp') }} AS DayClass,
    span.StatedCost AS StatedCost,
    llmtrace_stating(span.StatedCost, span.StatedBy) AS StatedBy,
    Estimated,
    -- An attempt that was billed is no call.
    Uncounted = '' AS Calls,
    {{ unknown_usage() }} AND NOT (Counted AND Uncounted != '') AS UnknownUsage,
{% for count in counts %}
    {{ within(count) }} AS {{ count.name }}{{ ',' if not loop.last }}
{% endfor %}
FROM otel_traces AS span
WHERE {{ which }}
