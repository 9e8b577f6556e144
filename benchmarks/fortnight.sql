-- The traces of the minutes in benchmark_minutes; see fortnight.py. Everything is a hash of flow, minute and number,
-- so that the same rows make the same spans.
INSERT INTO otel_traces (
    Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, SpanAttributes,
    Duration, StatusCode, Project, ReceivedAt, StoredAt
)
WITH
    [call_seconds + retrieval_seconds + tool_seconds + 0.05, retrieval_seconds, tool_seconds, call_seconds] AS took,
    [0, 0.01, 0.02 + retrieval_seconds, 0.03 + retrieval_seconds + tool_seconds] AS begins,
    [failed, false, tool_failed, failed] AS fails,
    started + toUInt64(begins[place] * 1e9) AS start
SELECT
    fromUnixTimestamp64Nano(toInt64(start)) AS Timestamp,
    lower(hex(sipHash128(Minute, Flow, n))) AS TraceId,
    lower(hex(sipHash64(Minute, Flow, n, place))) AS SpanId,
    if(place = 1, '', lower(hex(sipHash64(Minute, Flow, n, 1)))) AS ParentSpanId,
    ['answer', 'retrieval docs', 'execute_tool lookup', concat('chat ', Model)][place] AS SpanName,
    if(place = 4, 'Client', 'Internal') AS SpanKind,
    Service AS ServiceName,
    map('service.name', Service) AS ResourceAttributes,
    mapFilter((name, value) -> value != '', multiIf(
        place = 1, map('user.id', user),
        place = 2, map('gen_ai.operation.name', 'retrieval', 'gen_ai.data_source.id', 'docs'),
        place = 3, map('gen_ai.operation.name', 'execute_tool', 'gen_ai.tool.name', 'lookup'),
        map(
            'gen_ai.operation.name', 'chat',
            'gen_ai.provider.name', Provider,
            'gen_ai.request.model', Model,
            'gen_ai.response.model', Model,
            'gen_ai.response.finish_reasons', if(failed, '', '["stop"]'),
            'gen_ai.usage.input_tokens', if(failed, '', toString(input_tokens)),
            'gen_ai.usage.output_tokens', if(failed, '', toString(output_tokens)),
            'gen_ai.response.time_to_first_chunk', if(failed, '', toString(round(0.2 * call_seconds, 4))),
            'error.type', if(failed, 'server_error', ''),
            'user.id', user
        )
    )) AS SpanAttributes,
    toUInt64(took[place] * 1e9) AS Duration,
    if(fails[place], 'Error', 'Unset') AS StatusCode,
    Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(start + Duration, 1000000) + 1000)) AS ReceivedAt,
    fromUnixTimestamp64Milli(toInt64(intDiv(start + Duration, 500000000) * 500 + 2000)) AS StoredAt
FROM (
    SELECT
        Minute, Flow, Project, Service, Provider, Model, Steps, n,
        Minute * 60000000000 + cityHash64(Minute, Flow, n, 'at') % 60000000000 AS started,
        concat('user-', toString(cityHash64(Minute, Flow, n, 'user') % 100)) AS user,
        (cityHash64(Minute, Flow, n, 'a') % 1000000 + 1) / 1000001 AS uniform,
        2 * pi() * (cityHash64(Minute, Flow, n, 'b') % 1000000) / 1000000 AS angle,
        sqrt(-2 * log(uniform)) * cos(angle) AS normal,
        sqrt(-2 * log(uniform)) * sin(angle) AS other_normal,
        cityHash64(Minute, Flow, n, 'fails') % 100000 < 100000 * Failing AS failed,
        cityHash64(Minute, Flow, n, 'tool') % 100000 < 100000 * ToolFailing AS tool_failed,
        toUInt32(1000 * exp(0.5 * other_normal) * Tokens) AS input_tokens,
        toUInt32(130 * exp(0.6 * normal)) AS output_tokens,
        (0.4 + 0.012 * output_tokens) * exp(0.2 * other_normal) * Slow AS call_seconds,
        0.2 * exp(0.25 * other_normal) + Late AS retrieval_seconds,
        0.1 * exp(0.25 * normal) AS tool_seconds
    FROM benchmark_minutes
    ARRAY JOIN range(Traces) AS n
    WHERE Minute >= {since} AND Minute < {until}
)
ARRAY JOIN if(Steps, [1, 2, 3, 4], [1, 4]) AS place
SETTINGS max_partitions_per_insert_block = 0, async_insert = 0, max_threads = 2, max_insert_threads = 1
