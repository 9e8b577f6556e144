-- Spans {start} to {start} + {count} of a filled store; see filled_store.py. Everything is a hash of the span's
-- number `n` or of its trace's, so that the same store comes out each time.
INSERT INTO otel_traces (
    Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName,
    ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage, Project, ReceivedAt, StoredAt,
    InputMessages, OutputMessages
)
WITH
    number + {start} AS n,
    intDiv(n, 5) AS trace,
    n % 5 AS place,
    place IN (1, 3, 4) AS call,
    sipHash64(trace, 'who') AS h,
    sipHash64(n, 'span') AS r,
    h % 6 AS service,
    [0, 0, 0, 1, 2, 3][service + 1] AS project,
    toUInt64(pow({users}, cityHash64(h, 1) / 18446744073709551616.)) - 1 AS user,
    service * 3 + intDiv(h, 6) % 3 AS process,
    intDiv(r, 11) % 9 AS model,
    r % 100 = 0 AS failed,
    toUInt64({begin}) * 1000000000 + trace * {every} + h % {every} AS trace_started,
    trace_started + place * 1500000000 + r % 900000000 AS started,
    cityHash64(n, 'took') % 10000 / 10000 * 3 - 1 AS logarithm,
    toUInt64(if(call, exp(logarithm) * 1e9, 2e7 + r % 900000000)) AS took,
    [
        'openai', 'openai', 'openai', 'openai', 'anthropic', 'anthropic', 'anthropic', 'gcp.gemini', 'gcp.gemini'
    ][model + 1] AS provider,
    [
        'gpt-4o-mini', 'gpt-4o', 'gpt-4.1', 'o3', 'claude-sonnet-4-5', 'claude-haiku-4-5', 'claude-opus-4-1',
        'gemini-2.5-pro', 'gemini-2.5-flash'
    ][model + 1] AS named,
    80 + intDiv(r, 1000) % 200 AS input_words,
    30 + intDiv(r, 100000) % 120 AS output_words,
    [
        'shop.checkout', 'shop.search', 'shop.support', 'bank.assistant', 'school.tutor', 'press.desk'
    ][service + 1] AS service_name,
    map(
        'user.id', concat('user-', toString(user)),
        'session.id', concat('session-', lower(hex(sipHash64(user, intDiv(trace, 20))))),
        'shop.order.id', concat('order-', toString(intDiv(trace, 2))),
        'shop.tier', ['free', 'plus', 'gold'][h % 3 + 1]
    ) AS common
SELECT
    fromUnixTimestamp64Nano(toInt64(started)) AS Timestamp,
    lower(hex(sipHash128(trace, 'trace'))) AS TraceId,
    lower(hex(sipHash64(n, 'id'))) AS SpanId,
    if(place = 0, '', lower(hex(sipHash64(trace * 5, 'id')))) AS ParentSpanId,
    multiIf(place = 0, 'invoke_agent planner', place = 2, 'execute_tool lookup', concat('chat ', named)) AS SpanName,
    if(call, 'Client', 'Internal') AS SpanKind,
    service_name AS ServiceName,
    map(
        'service.name', service_name,
        'service.version', concat('1.', toString(intDiv(trace * {every}, 864000000000000))),
        'service.instance.id', toString(toUUID(reinterpretAsUUID(sipHash128(process)))),
        'deployment.environment.name', 'production',
        'telemetry.sdk.name', 'opentelemetry',
        'telemetry.sdk.language', 'python',
        'telemetry.sdk.version', '1.45.0',
        'host.name', concat('node-', toString(process % 12)),
        'process.pid', toString(1000 + process)
    ) AS ResourceAttributes,
    'llmtrace' AS ScopeName,
    '0.1.0' AS ScopeVersion,
    multiIf(
        call,
        mapConcat(common, map(
            'gen_ai.operation.name', 'chat',
            'gen_ai.provider.name', provider,
            'gen_ai.request.model', named,
            'gen_ai.response.model', concat(named, '-2026-01-01'),
            'gen_ai.response.id', concat('resp_', lower(hex(sipHash64(n, 'response')))),
            'gen_ai.response.finish_reasons', if(failed, '', '["stop"]'),
            'gen_ai.usage.input_tokens', toString(input_words * 2 + 40),
            'gen_ai.usage.output_tokens', toString(output_words * 2),
            'gen_ai.usage.cache_read.input_tokens', toString(if(h % 4 = 0, intDiv(input_words, 2), 0)),
            'gen_ai.response.time_to_first_chunk', toString(round(took / 4e9, 6)),
            'gen_ai.request.temperature', '0.7',
            'server.address', concat('api.', provider, '.com'),
            'server.port', '443'
        )),
        place = 2,
        mapConcat(common, map(
            'gen_ai.operation.name', 'execute_tool',
            'gen_ai.tool.name', 'lookup',
            'gen_ai.tool.call.id', concat('call_', lower(hex(sipHash64(n, 'call'))))
        )),
        mapConcat(common, map('gen_ai.operation.name', 'invoke_agent', 'gen_ai.agent.name', 'planner'))
    ) AS SpanAttributes,
    took AS Duration,
    if(failed, 'Error', 'Unset') AS StatusCode,
    if(failed, 'the model did not answer in time', '') AS StatusMessage,
    ['shop', 'bank', 'school', 'press'][project + 1] AS Project,
    fromUnixTimestamp64Milli(toInt64(intDiv(started + took, 1000000) + 200 + r % 800)) AS ReceivedAt,
    fromUnixTimestamp64Milli(toInt64(intDiv(started + took, 500000000) * 500 + 1700)) AS StoredAt,
    if(
        call,
        concat('[{"role":"user","parts":[{"type":"text","content":"', {input_prose}, '"}]}]'),
        ''
    ) AS InputMessages,
    if(
        call AND NOT failed,
        concat('[{"role":"assistant","parts":[{"type":"text","content":"', {output_prose}, '"}],"finish_reason":"stop"}]'),
        ''
    ) AS OutputMessages
FROM numbers({count})
SETTINGS max_partitions_per_insert_block = 0, async_insert = 0, max_threads = 2, max_insert_threads = 1
