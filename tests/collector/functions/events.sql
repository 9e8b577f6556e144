llmtrace_input_messages_event(CAST(tuple('gen_ai.user.message', map('content', 'Why?')) AS Tuple(String, Map(LowCardinality(String), String))))
-- ["user", "Why?"]

llmtrace_output_messages_event(CAST(tuple('gen_ai.choice', map('message', 'm')) AS Tuple(String, Map(LowCardinality(String), String))))
-- ["assistant", "m"]

llmtrace_input_messages_of_events(['gen_ai.user.message', 'other', 'gen_ai.content.prompt'], CAST([map('content', 'Why?'), map('k', 'v'), map('gen_ai.event.content', '{"role":"user","content":"x"}')] AS Array(Map(LowCardinality(String), String))))
-- "[{\"role\":\"user\",\"content\":\"Why?\"},{\"role\":\"user\",\"content\":\"x\"}]"

llmtrace_input_messages_of_events(['other'], CAST([map('a', 'b')] AS Array(Map(LowCardinality(String), String))))
-- ""

llmtrace_output_messages_of_events(['gen_ai.choice', 'gen_ai.content.completion'], CAST([map('message', '{"content":"Because."}'), map('gen_ai.completion', '[{"role":"assistant","content":"c"}]')] AS Array(Map(LowCardinality(String), String))))
-- "[{\"role\":\"assistant\",\"content\":{\"content\":\"Because.\"}},{\"role\":\"assistant\",\"content\":\"c\"}]"

llmtrace_event_messages('user', 'Why?')
-- ["{\"role\":\"user\",\"content\":\"Why?\"}"]

llmtrace_event_messages('user', '{"content":"a"}')
-- ["{\"role\":\"user\",\"content\":{\"content\":\"a\"}}"]

llmtrace_event_messages('user', '{"role":"system"}')
-- ["{\"role\":\"system\"}"]

llmtrace_event_messages('user', '[1,2]')
-- ["{\"role\":\"user\",\"content\":[1,2]}"]

llmtrace_event_messages('user', '{broken')
-- ["{\"role\":\"user\",\"content\":\"{broken\"}"]

llmtrace_event_key('gen_ai.choice')
-- "message"

llmtrace_event_key('other')
-- "other"

llmtrace_event_role('gen_ai.system.message')
-- "system"

llmtrace_event_role('other')
-- "other"

llmtrace_event_body('gen_ai.user.message', '{"content":"Why?"}')
-- "{\"role\":\"user\",\"content\":\"Why?\"}"

llmtrace_event_body('gen_ai.choice', '{"message":{"role":"a"}}')
-- "{\"message\":{\"role\":\"a\"}}"

llmtrace_event_body('gen_ai.user.message', '{}')
-- ""

llmtrace_event_body('gen_ai.user.message', 'null')
-- ""

llmtrace_event_body('gen_ai.user.message', 'bare')
-- "bare"

llmtrace_documents_of_events(['db.query.embeddings', 'db.query.result', 'db.query.result'], [map('db.query.embeddings.vector', '[1]'), map('db.query.result.id', 'a', 'db.query.result.distance', '0.5'), map('db.query.result.id', 'b', 'db.query.result.score', '0.25', 'db.query.result.distance', '0.75'), map('link', 'x')])
-- "[{\"id\":\"a\",\"score\":0.5},{\"id\":\"b\",\"score\":0.25}]"

llmtrace_documents_of_events(['other'], [map('db.query.result.id', 'a')])
-- ""

llmtrace_event_messages('system', '[{"text":"Be brief."}]')
-- ["{\"role\":\"system\",\"content\":[{\"text\":\"Be brief.\"}]}"]

llmtrace_finish_reasons_of_events(['gen_ai.choice', 'gen_ai.user.message', 'gen_ai.choice'], [map('finish_reason', 'end_turn'), map('finish_reason', 'x'), map('message', 'no reason')])
-- "[\"end_turn\"]"

llmtrace_finish_reasons_of_events(['gen_ai.choice'], [map('message', 'x')])
-- ""

llmtrace_call_detail(['other', 'gen_ai.client.inference.operation.details', 'gen_ai.client.inference.operation.details'], [map('k', 'no'), map('other', 'x'), map('k', 'yes')], 'k')
-- "yes"

llmtrace_call_detail(['other'], [map('k', 'no')], 'k')
-- ""
