llmtrace_count('12')
-- 12

llmtrace_count('')
-- null

llmtrace_count('-1')
-- null

llmtrace_count('1.5')
-- null

llmtrace_count_or_0('12')
-- 12

llmtrace_count_or_0('x')
-- 0

llmtrace_seconds('0.25')
-- 0.25

llmtrace_seconds('')
-- null

llmtrace_seconds('12.345678901234567')
-- 12.345678901234567

llmtrace_seconds('0')
-- 0

llmtrace_seconds('1e-7')
-- 1e-7

llmtrace_seconds('1E+02')
-- 100

llmtrace_seconds('-0.5')
-- null

llmtrace_seconds('nan')
-- null

llmtrace_seconds('inf')
-- null

llmtrace_seconds('1e400')
-- null

llmtrace_seconds('5 s')
-- null

llmtrace_weight('10')
-- 10

llmtrace_weight('')
-- 1

llmtrace_weight('-3')
-- 1

llmtrace_weight('0')
-- 1

llmtrace_weight('nan')
-- 1

llmtrace_weight('1e300')
-- 1

llmtrace_string_list('["a","b"]')
-- ["a", "b"]

llmtrace_string_list('a b')
-- ["a b"]

llmtrace_string_list('')
-- []

llmtrace_string_list('[broken')
-- []

llmtrace_inclusive_output('15', '5', '120', '70', '30', '')
-- "20"

llmtrace_inclusive_output('20', '5', '120', '70', '30', '')
-- "20"

llmtrace_inclusive_output('20', '0', '120', '100', '30', '')
-- "20"

llmtrace_inclusive_output('6', '64', '94', '24', '10', '')
-- "70"

llmtrace_inclusive_output('20', '5', '', '70', '', '')
-- "20"

llmtrace_inclusive_output('', '', '', '', '', '')
-- ""

llmtrace_finish_reasons('["stop","END_TURN"]')
-- ["stop", "stop"]

llmtrace_finish_reasons('max_tokens')
-- ["length"]

llmtrace_finish_reasons('["FinishReason.TOOL_CALLS","FinishReason.STOP"]')
-- ["tool_call", "stop"]

llmtrace_finish_reasons('openai.FinishReason.LENGTH')
-- ["length"]

llmtrace_finish_reasons(concat('<FinishReason.MAX_TOKENS: ''MAX_TOKENS''', char(62)))
-- ["length"]

llmtrace_finish_reasons('["FINISH_REASON_SAFETY"]')
-- ["content_filter"]

llmtrace_finish_reasons('["STOP","tool_call","tool-calls","Content-Filter","MALFORMED_FUNCTION_CALL"]')
-- ["stop", "tool_call", "tool_call", "content_filter", "error"]

llmtrace_finish_reasons('Weird')
-- ["weird"]

llmtrace_finish_reasons('')
-- []

llmtrace_service_tier('Batch', '')
-- "batch"

llmtrace_service_tier('default', '')
-- ""

llmtrace_service_tier('', '')
-- ""

llmtrace_service_tier('flex', 'true')
-- "response_cache"

llmtrace_purpose('bench', 'replay', '')
-- "bench"

llmtrace_purpose('', 'replay', '')
-- "replay"

llmtrace_purpose('weird', '', '')
-- "product"

llmtrace_purpose('', '', 'true')
-- "simulated"

llmtrace_purpose('', 'evaluation', 'true')
-- "evaluation"

llmtrace_plain_number('12')
-- "12"

llmtrace_plain_number('12.0')
-- "12"

llmtrace_plain_number('12.5')
-- "12.5"

llmtrace_plain_number('{"intValue":"7"}')
-- "7"

llmtrace_plain_number('')
-- ""

llmtrace_plain_numbers(['1.0', '2'])
-- ["1", "2"]

llmtrace_model('a', 'b')
-- "a"

llmtrace_model('', 'b')
-- "b"

llmtrace_is_llm('chat')
-- 1

llmtrace_is_llm('execute_tool')
-- 0

llmtrace_uncounted(true, '', 'Client', 'p', 'chat', NULL)
-- ""

llmtrace_uncounted(true, 'false', 'Client', '', 'chat', 1)
-- "sender"

llmtrace_uncounted(true, '', 'Server', 'p', 'chat', 1)
-- "server"

llmtrace_uncounted(true, '', 'Server', '', 'chat', 1)
-- ""

llmtrace_uncounted(true, '', 'Internal', '', 'LM.__call__', NULL)
-- ""

llmtrace_uncounted(true, '', 'Internal', '', '_call', NULL)
-- "no_request"

llmtrace_uncounted(true, '', 'Internal', '', 'OpenAI._prepare_chat_with_tools', NULL)
-- "no_request"

llmtrace_uncounted(false, 'false', 'Server', 'p', 'chat', NULL)
-- ""

llmtrace_counted(true, '')
-- true

llmtrace_counted(true, 'sender')
-- false

llmtrace_counted(false, '')
-- false

llmtrace_usage_fault(10, 5, 3, 4, 4, 5, 10, 5)
-- ""

llmtrace_usage_fault(10, 5, 8, 4, 0, 0, 0, 0)
-- "cache exceeds input"

llmtrace_usage_fault(10, 5, 0, 4, 5, 0, 0, 0)
-- "cache writes of an hour exceed cache writes"

llmtrace_usage_fault(10, 5, 0, 0, 0, 0, 11, 0)
-- "media exceed input"

llmtrace_usage_fault(10, 5, 0, 0, 0, 6, 0, 0)
-- "reasoning exceeds output"

llmtrace_usage_fault(10, 5, 0, 0, 0, 0, 0, 6)
-- "media exceed output"

llmtrace_usage_fault(NULL, NULL, 1, 0, 0, 0, 0, 0)
-- "cache exceeds input"

llmtrace_usage_fault(NULL, NULL, 0, 0, 0, 0, 0, 0)
-- ""

llmtrace_prompt_hash('m', '', 'i', 't')
-- 0

llmtrace_prompt_hash('m', 'a', '', '') = cityHash64('m', 'a', '', '')
-- 1

llmtrace_tags_of_dialect('a,b')
-- "[\"a\",\"b\"]"

llmtrace_tags_of_dialect('["a,b"]')
-- "[\"a,b\"]"

llmtrace_tags_of_dialect('a')
-- "a"

llmtrace_cache_writes('5', '1', '2')
-- "5"

llmtrace_cache_writes('', '4', '6')
-- "10"

llmtrace_cache_writes('', '', '')
-- ""

llmtrace_inclusive_input('70', '30', '10', true)
-- "110"

llmtrace_inclusive_input('70', '30', '10', false)
-- "70"

llmtrace_inclusive_input('', '30', '10', true)
-- ""

llmtrace_inclusive_input('70', '', '', true)
-- "70"
