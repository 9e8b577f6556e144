{% from 'parts/weighted.sql' import weighted, context_class with context %}
CREATE MATERIALIZED VIEW usage_hour_mv TO usage_hour AS
SELECT
    Project,
    toStartOfHour(toDateTime(Timestamp, 'UTC')) AS Time,
    ServiceName,
    Provider,
    Model,
    ResponseModel,
    ServiceTier,
    {{ context_class('span.InputTokens') }} AS ContextClass,
    Operation,
    UserId,
    Experiment,
    RunId,
    PromptName,
    PromptVersion,
    Purpose,
    Account,
    arraySort(span.Tags) AS Tags,
    {{ weighted('1') }} AS Calls,
    {{ weighted("StatusCode = 'Error'") }} AS Errors,
    {{ weighted('span.InputTokens IS NULL AND span.OutputTokens IS NULL') }} AS UnknownUsage
{%- for count in counts %},
    {{ weighted('ifNull(span.' ~ count.name ~ ', 0)') }} AS {{ count.name }}
{%- endfor %}

FROM otel_traces AS span
WHERE Counted
GROUP BY Project, Time, ServiceName, Provider, Model, ResponseModel, ServiceTier, ContextClass, Operation,
    UserId, Experiment, RunId, PromptName, PromptVersion, Purpose, Account, Tags;
