CREATE MATERIALIZED VIEW scores_mv TO scores AS
SELECT
    Project,
    Timestamp,
    TraceId,
    SpanId,
    LogAttributes['gen_ai.response.id'] AS ResponseId,
    LogAttributes['gen_ai.evaluation.name'] AS Name,
    toFloat64OrNull(LogAttributes['gen_ai.evaluation.score.value']) AS Value,
    LogAttributes['gen_ai.evaluation.score.label'] AS Label,
    LogAttributes['gen_ai.evaluation.explanation'] AS Explanation,
    ServiceName
FROM otel_logs
WHERE EventName = 'gen_ai.evaluation.result';
