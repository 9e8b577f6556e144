{# One row for each trace of the spans for which `which` holds, of traces for which `having` does. The root is the first
   span without a parent, else the topmost: what encloses others starts first. Most traces are a few spans: the cost
   of a trace is that of its aggregates' states, so keys are plain numbers and sets are made of arrays at the end. #}
{% from 'parts/is_retry.sql' import is_retry with context %}
{% macro of_root(column) -%}
argMin(span.{{ column }}, toUnixTimestamp64Nano(span.Timestamp) + if(span.ParentSpanId = '', 0, 4611686018427387904))
{%- endmacro %}
{% macro first(column) %}argMinIf(span.{{ column }}, span.Timestamp, span.{{ column }} != ''){% endmacro %}
SELECT
    span.Project AS Project,
    span.TraceId AS TraceId,
    min(span.Timestamp) AS Start,
    fromUnixTimestamp64Nano(max(toUnixTimestamp64Nano(span.Timestamp) + toInt64(span.Duration))) AS End,
    toUInt64(toUnixTimestamp64Nano(End) - toUnixTimestamp64Nano(Start)) AS Duration,
    {{ of_root('SpanName') }} AS RootName,
    {{ of_root('ServiceName') }} AS RootService,
    {{ of_root('SpanKind') }} AS RootKind,
    {{ of_root('Operation') }} AS Operation,
    multiIf({{ of_root('StatusCode') }} = 'Error', 'failed', FailedSteps > 0, 'recovered', 'ok') AS Status,
    max(span.ParentSpanId = '') AS HasRoot,
    count() AS Spans,
    toUInt64(Spans - Retries) AS Steps,
    toUInt64(countIf(span.StatusCode = 'Error') - Retries) AS FailedSteps,
    countIf({{ is_retry('span') }}) AS Retries,
    countIf(span.Counted AND span.Uncounted = '') AS Calls,
    countIf(span.Counted AND span.Uncounted = '' AND span.StatusCode = 'Error') AS Errors,
    countIf(span.Counted AND span.Uncounted = '' AND span.InputTokens IS NULL AND span.OutputTokens IS NULL) AS UnknownUsage,
{% for count in trace_counts %}
    sumIf(ifNull(span.{{ count.name }}, 0), span.Counted) AS {{ count.name }},
{% endfor %}
    arraySort(arrayDistinct(groupArrayIf(span.Model, span.Counted AND span.Model != ''))) AS Models,
    arraySort(arrayDistinct(groupArray(span.ServiceName))) AS Services,
    {{ first('UserId') }} AS UserId,
    {{ first('SessionId') }} AS SessionId,
    arraySort(arrayDistinct(groupArrayArray(span.Tags))) AS Tags,
    {{ first('Experiment') }} AS Experiment,
    {{ first('RunId') }} AS RunId,
    {{ first('PromptName') }} AS PromptName,
    argMinIf(span.PromptVersion, span.Timestamp, span.PromptName != '') AS PromptVersion,
    {{ of_root('Purpose') }} AS Purpose,
    arraySort(arrayDistinct(groupArrayArray(span.FinishReasons))) AS FinishReasons,
    arraySort(arrayDistinct(groupArrayIf(span.ErrorType, span.ErrorType != ''))) AS ErrorTypes,
    argMinIf(span.TimeToFirstToken, span.Timestamp, span.Counted) AS TimeToFirstToken,
    max(multiSearchAny(span.InputMessages, ['"modality":"image"', '"modality": "image"'])) AS HasImage,
    max(span.Operation = 'retrieval') AS HasRetrieval,
    max(span.SpanAttributes['llmtrace.stream.abandoned'] = 'true') AS Abandoned,
    max(span.Weight) AS Weight,
    max(span.RetentionDays) AS RetentionDays
FROM otel_traces AS span
WHERE {{ which }}
GROUP BY Project, TraceId
{% if having %}HAVING {{ having }}{% endif %}

