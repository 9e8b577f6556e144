{# Every call for which `which` holds, as costs are made of it. #}
{% from 'parts/weighted.sql' import context_class with context %}
SELECT
    Project,
    Timestamp,
    toDateTime(Timestamp, 'UTC') AS Time,
    TraceId,
    SpanId,
    ServiceName,
    Provider,
    Model,
    ResponseModel,
    ServiceTier,
    {{ context_class('span.InputTokens') }} AS ContextClass,
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
    1 AS Calls,
    StatusCode = 'Error' AS Errors,
    span.InputTokens IS NULL AND span.OutputTokens IS NULL AS UnknownUsage,
{% for count in counts %}
    ifNull(span.{{ count.name }}, 0) AS {{ count.name }},
{% endfor %}
    PromptHash
FROM otel_traces AS span
WHERE {{ which }}
