llmtrace_time_per_output_token(0.5, 2.5, 9000000000, 5)
-- 0.5

llmtrace_time_per_output_token(0.5, NULL, 2500000000, 5)
-- 0.5

llmtrace_time_per_output_token(NULL, 2.5, 1, 5)
-- null

llmtrace_time_per_output_token(0.5, 2.5, 1, 1)
-- null

llmtrace_time_per_output_token(0.5, 2.5, 1, NULL)
-- null

llmtrace_time_per_output_token(0.5, 2.5, 1, 0)
-- null

llmtrace_time_per_output_token(0.4, 0.4, 2500000000, 40)
-- null

llmtrace_time_per_output_token(2.5, 0.5, 9000000000, 5)
-- null

llmtrace_time_per_output_token(5, NULL, 500000000, 5)
-- null

llmtrace_time_per_output_token(nan, 2.5, 9000000000, 5)
-- null

llmtrace_tpot_estimated(0.5, NULL)
-- 1

llmtrace_tpot_estimated(0.5, 2.0)
-- 0

llmtrace_tpot_estimated(NULL, NULL)
-- 0

llmtrace_first_token('0.25', '300', '', 0, emptyArrayString(), CAST([] AS Array(UInt64)))
-- "0.25"

llmtrace_first_token('', '300', '', 0, emptyArrayString(), CAST([] AS Array(UInt64)))
-- "0.3"

llmtrace_first_token('', '', '1970-01-01T00:00:02.500Z', 2000000000, emptyArrayString(), CAST([] AS Array(UInt64)))
-- "0.5"

llmtrace_first_token('', '', '1970-01-01T00:00:01Z', 2000000000, emptyArrayString(), CAST([] AS Array(UInt64)))
-- ""

llmtrace_first_token('', '', '', 2000000000, ['other', 'gen_ai.content.completion.chunk'], CAST([1, 3000000000] AS Array(UInt64)))
-- "1"

llmtrace_first_token('', '', '', 2000000000, ['other'], CAST([3000000000] AS Array(UInt64)))
-- ""

llmtrace_first_token_event(['other', 'ai.stream.firstChunk', 'ai.stream.firstChunk'], CAST([1, 2, 3] AS Array(UInt64)))
-- 2

llmtrace_first_token_event(['other'], CAST([1] AS Array(UInt64)))
-- 0
