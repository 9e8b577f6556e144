{# Rows of steps over the spans for which `which` holds. Of each service and ten seconds the `most` most frequent steps
   are told apart. Names are made readable once for each raw name, not for each span. #}
{% from 'parts/is_retry.sql' import is_retry with context %}
SELECT
    Project, Time, ServiceName, if(Rank <= {{ most }}, Kind, '(other)') AS StepKind,
    if(Rank <= {{ most }}, Name, '(other)') AS StepName, if(Rank <= {{ most }}, AgentName, '') AS Agent,
    if(Rank <= {{ most }}, OfVersion, '') AS AgentVersion, Status, Purpose,
    sum(StepSum) AS Steps, sum(SpanSum) AS Spans, sum(Took) AS DurationSum, min(Shortest) AS DurationMin,
    max(Longest) AS DurationMax, quantilesTDigestMergeState(0.5, 0.95, 0.99)(Digest) AS DurationDigest
FROM (
    SELECT *,
        dense_rank() OVER (
            PARTITION BY Project, Time, ServiceName ORDER BY Frequency DESC, Kind, Name, AgentName, OfVersion
        ) AS Rank
    FROM (
        SELECT *,
            sum(SpanSum) OVER (PARTITION BY Project, Time, ServiceName, Kind, Name, AgentName, OfVersion) AS Frequency
        FROM (
            SELECT
                Project, Time, ServiceName, Kind, llmtrace_step_name(Kind, RawName) AS Name,
                llmtrace_short_name(RawAgent) AS AgentName, llmtrace_short_name(RawVersion) AS OfVersion, Status, Purpose,
                sum(RawSteps) AS StepSum, sum(RawSpans) AS SpanSum, sum(RawTook) AS Took, min(RawShortest) AS Shortest,
                max(RawLongest) AS Longest, quantilesTDigestMergeState(0.5, 0.95, 0.99)(RawDigest) AS Digest
            FROM (
                SELECT
                    span.Project AS Project,
                    toStartOfInterval(toDateTime(span.Timestamp), INTERVAL 10 SECOND) AS Time,
                    span.ServiceName AS ServiceName,
                    llmtrace_step_kind(span.Operation) AS Kind,
                    llmtrace_raw_step_name(span.Operation, span.SpanName, span.SpanAttributes) AS RawName,
                    llmtrace_agent(span.SpanAttributes, span.ResourceAttributes, 'gen_ai.agent.name') AS RawAgent,
                    llmtrace_agent(span.SpanAttributes, span.ResourceAttributes, 'gen_ai.agent.version') AS RawVersion,
                    multiIf({{ is_retry('span') }}, 'retried', span.StatusCode = 'Error', 'error', 'ok') AS Status,
                    span.Purpose AS Purpose,
                    toUInt64(round(least(sum(span.Weight), 1e19))) AS RawSteps,
                    count() AS RawSpans,
                    toUInt64(round(least(sum(span.Weight * span.Duration), 1e19))) AS RawTook,
                    min(span.Duration) AS RawShortest,
                    max(span.Duration) AS RawLongest,
                    quantilesTDigestState(0.5, 0.95, 0.99)(span.Duration / 1e9) AS RawDigest
                FROM otel_traces AS span
                WHERE {{ which }}
                GROUP BY Project, Time, ServiceName, Kind, RawName, RawAgent, RawVersion, Status, Purpose
            )
            GROUP BY Project, Time, ServiceName, Kind, Name, AgentName, OfVersion, Status, Purpose
        )
    )
)
GROUP BY Project, Time, ServiceName, StepKind, StepName, Agent, AgentVersion, Status, Purpose
