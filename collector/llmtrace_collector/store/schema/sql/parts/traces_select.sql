{# One row for each trace of the spans for which `which` holds, of traces for which `having` does. The root is the first
   span without a parent, else the topmost: what encloses others starts first, and of two that start together ends last. #}
{% from 'parts/is_retry.sql' import is_retry with context %}
{% macro first(column) %}argMinIf(span.{{ column }}, span.Timestamp, span.{{ column }} != ''){% endmacro %}
SELECT
    span.Project AS Project,
    span.TraceId AS TraceId,
    min(span.Timestamp) AS Start,
    fromUnixTimestamp64Nano(max(toUnixTimestamp64Nano(span.Timestamp) + toInt64(span.Duration))) AS End,
    toUInt64(toUnixTimestamp64Nano(End) - toUnixTimestamp64Nano(Start)) AS Duration,
    argMin(
        (span.SpanName, span.ServiceName, span.SpanKind, span.Operation, span.Purpose, span.StatusCode = 'Error'),
        (span.ParentSpanId != '', span.Timestamp, -toInt64(span.Duration), span.SpanId)
    ) AS Root,
    Root.1 AS RootName,
    Root.2 AS RootService,
    Root.3 AS RootKind,
    Root.4 AS Operation,
    multiIf(Root.6, 'failed', FailedSteps > 0, 'recovered', 'ok') AS Status,
    max(span.ParentSpanId = '') AS HasRoot,
    count() AS Spans,
    Spans - Retries AS Steps,
    countIf(span.StatusCode = 'Error') - Retries AS FailedSteps,
    countIf({{ is_retry('span') }}) AS Retries,
    countIf(span.Counted) AS Calls,
    countIf(span.Counted AND span.StatusCode = 'Error') AS Errors,
    countIf(span.Counted AND span.InputTokens IS NULL AND span.OutputTokens IS NULL) AS UnknownUsage,
{% for count in counts %}
    sumIf(ifNull(span.{{ count.name }}, 0), span.Counted) AS {{ count.name }},
{% endfor %}
    arraySort(groupUniqArrayIf(span.Model, span.Counted AND span.Model != '')) AS Models,
    arraySort(groupUniqArray(span.ServiceName)) AS Services,
    {{ first('UserId') }} AS UserId,
    {{ first('SessionId') }} AS SessionId,
    arraySort(groupUniqArrayArray(span.Tags)) AS Tags,
    {{ first('Experiment') }} AS Experiment,
    {{ first('RunId') }} AS RunId,
    {{ first('PromptName') }} AS PromptName,
    argMinIf(span.PromptVersion, span.Timestamp, span.PromptName != '') AS PromptVersion,
    Root.5 AS Purpose,
    arraySort(groupUniqArrayArray(span.FinishReasons)) AS FinishReasons,
    arraySort(groupUniqArrayIf(span.ErrorType, span.ErrorType != '')) AS ErrorTypes,
    argMinIf(
        tuple(span.TimeToFirstToken), span.Timestamp, span.Counted AND span.TimeToFirstToken IS NOT NULL
    ).1 AS TimeToFirstToken,
    max(position(span.InputMessages, '"modality":"image"') > 0) AS HasImage,
    max(span.Operation = 'retrieval') AS HasRetrieval,
    max(span.SpanAttributes['llmtrace.stream.abandoned'] = 'true') AS Abandoned,
    max(span.Weight) AS Weight,
    max(span.RetentionDays) AS RetentionDays
FROM otel_traces AS span
WHERE {{ which }}
GROUP BY Project, TraceId
{% if having %}HAVING {{ having }}{% endif %}

