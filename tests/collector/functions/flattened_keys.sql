llmtrace_elements(['llm.input_messages.1.message.content', 'llm.input_messages.0.message.role', 'llm.input_messages.0.message.tool_calls.1.tool_call.id', 'gen_ai.completion.0.content', 'other', 'llm.tools.99999.tool.json_schema'], ['b', 'user', 'c1', 'Because.', 'x', 'hostile'])
-- [[0, 0, "role", "llm.input_messages", "user"], [0, 0, "content", "gen_ai.completion", "Because."], [0, 1, "tool_calls.id", "llm.input_messages", "c1"], [1, 0, "content", "llm.input_messages", "b"]]

llmtrace_outer_elements(['llm.input_messages.1.message.content', 'llm.input_messages.0.message.role', 'llm.input_messages.0.message.tool_calls.1.tool_call.id', 'gen_ai.completion.0.content', 'other', 'llm.tools.99999.tool.json_schema'], ['b', 'user', 'c1', 'Because.', 'x', 'hostile'])
-- [[1, "content", "llm.input_messages", "b"], [0, "role", "llm.input_messages", "user"], [0, "tool_calls.1.id", "llm.input_messages", "c1"], [0, "content", "gen_ai.completion", "Because."]]

arrayMap(g -> length(g), llmtrace_by_index([(0, 0, 'a', 'p', '1'), (0, 1, 'b', 'p', '2'), (3, 0, 'c', 'p', '3')]))
-- [2, 1]

arrayMap(g -> length(g), llmtrace_by_inner_index([(0, 0, 'a', 'p', '1'), (0, 1, 'b', 'p', '2'), (0, 1, 'c', 'p', '3')]))
-- [1, 2]

llmtrace_element([(0, 0, 'role', 'llm.input_messages', 'user'), (0, 0, 'content', 'llm.input_messages', 'Why?')], 'content')
-- "Why?"

llmtrace_element([(0, 0, 'role', 'llm.input_messages', 'user'), (0, 0, 'content', 'llm.input_messages', 'Why?')], 'nothing')
-- ""

arrayMap(g -> length(g), llmtrace_inner_groups([(0, 0, 'role', 'llm.input_messages', 'assistant'), (0, 0, 'tool_calls.id', 'llm.input_messages', 'c0'), (0, 0, 'tool_calls.name', 'llm.input_messages', 'f'), (0, 0, 'tool_calls.arguments', 'llm.input_messages', '{}'), (0, 1, 'tool_calls.id', 'llm.input_messages', 'c1'), (0, 0, 'finish_reason', 'llm.input_messages', 'stop')], 'tool_calls.'))
-- [3, 1]

length(llmtrace_inner_groups([(0, 0, 'role', 'llm.input_messages', 'user'), (0, 0, 'content', 'llm.input_messages', 'Why?')], 'tool_calls.'))
-- 0

llmtrace_flat_content([(0, 0, 'role', 'llm.input_messages', 'user'), (0, 0, 'content', 'llm.input_messages', 'Why?')])
-- ["\"Why?\""]

llmtrace_flat_content([(0, 0, 'role', 'llm.input_messages', 'assistant'), (0, 0, 'tool_calls.id', 'llm.input_messages', 'c0'), (0, 0, 'tool_calls.name', 'llm.input_messages', 'f'), (0, 0, 'tool_calls.arguments', 'llm.input_messages', '{}'), (0, 1, 'tool_calls.id', 'llm.input_messages', 'c1'), (0, 0, 'finish_reason', 'llm.input_messages', 'stop')])
-- []

llmtrace_flat_content([(0, 0, 'content', 'llm.input_messages', '[{"type":"text","text":"t"}]')])
-- ["{\"type\":\"text\",\"text\":\"t\"}"]

llmtrace_flat_part([(0, 0, 'contents.text', 'llm.input_messages', 'look'), (0, 1, 'contents.image.image.url', 'llm.input_messages', 'https://i')])
-- "{\"type\":\"image_url\",\"url\":\"https:\\/\\/i\"}"

llmtrace_flat_part([(0, 0, 'contents.text', 'llm.input_messages', 'look')])
-- "\"look\""

llmtrace_flat_tool_call([(0, 0, 'role', 'llm.input_messages', 'assistant'), (0, 0, 'tool_calls.id', 'llm.input_messages', 'c0'), (0, 0, 'tool_calls.name', 'llm.input_messages', 'f'), (0, 0, 'tool_calls.arguments', 'llm.input_messages', '{}'), (0, 1, 'tool_calls.id', 'llm.input_messages', 'c1'), (0, 0, 'finish_reason', 'llm.input_messages', 'stop')])
-- "{\"type\":\"function\",\"id\":\"c0\",\"name\":\"f\",\"arguments\":\"{}\"}"

llmtrace_flat_parts([(0, 0, 'contents.text', 'llm.input_messages', 'look'), (0, 1, 'contents.image.image.url', 'llm.input_messages', 'https://i')])
-- "[\"look\",{\"type\":\"image_url\",\"url\":\"https:\\/\\/i\"}]"

llmtrace_flat_tool_calls([(0, 0, 'role', 'llm.input_messages', 'assistant'), (0, 0, 'tool_calls.id', 'llm.input_messages', 'c0'), (0, 0, 'tool_calls.name', 'llm.input_messages', 'f'), (0, 0, 'tool_calls.arguments', 'llm.input_messages', '{}'), (0, 1, 'tool_calls.id', 'llm.input_messages', 'c1'), (0, 0, 'finish_reason', 'llm.input_messages', 'stop')])
-- "[{\"type\":\"function\",\"id\":\"c0\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function\",\"id\":\"c1\",\"name\":\"\",\"arguments\":\"\"}]"

llmtrace_flat_tool_calls([(0, 0, 'role', 'llm.input_messages', 'user'), (0, 0, 'content', 'llm.input_messages', 'Why?')])
-- "[]"

llmtrace_flat_member([(0, 0, 'role', 'llm.input_messages', 'assistant'), (0, 0, 'tool_calls.id', 'llm.input_messages', 'c0'), (0, 0, 'tool_calls.name', 'llm.input_messages', 'f'), (0, 0, 'tool_calls.arguments', 'llm.input_messages', '{}'), (0, 1, 'tool_calls.id', 'llm.input_messages', 'c1'), (0, 0, 'finish_reason', 'llm.input_messages', 'stop')], 'finish_reason')
-- ",\"finish_reason\":\"stop\""

llmtrace_flat_member([(0, 0, 'role', 'llm.input_messages', 'user'), (0, 0, 'content', 'llm.input_messages', 'Why?')], 'finish_reason')
-- ""

llmtrace_flat_tool([(0, 0, 'name', 'llm.request.functions', 'f'), (0, 0, 'description', 'llm.request.functions', 'does f'), (0, 0, 'parameters', 'llm.request.functions', '{"a":1}')])
-- "{\"name\":\"f\",\"description\":\"does f\",\"parameters\":{\"a\":1}}"

llmtrace_flat_message([(0, 0, 'role', 'llm.input_messages', 'user'), (0, 0, 'content', 'llm.input_messages', 'Why?')])
-- "{\"role\":\"user\",\"content\":[\"Why?\"],\"tool_calls\":[]}"

llmtrace_flat_message([(0, 0, 'role', 'llm.input_messages', 'tool'), (0, 0, 'tool_call_id', 'llm.input_messages', 'c0'), (0, 0, 'content', 'llm.input_messages', '{"x":1}')])
-- "{\"role\":\"tool\",\"content\":{\"x\":1},\"tool_call_id\":\"c0\",\"tool_calls\":[]}"

llmtrace_flat_message([(0, 0, 'role', 'gen_ai.completion', 'thinking'), (0, 0, 'content', 'gen_ai.completion', 'Hm "x"')])
-- "{\"role\":\"assistant\",\"content\":[{\"type\":\"reasoning\",\"content\":\"Hm \\\"x\\\"\"}]}"

llmtrace_flat_spoken_message([(0, 0, 'role', 'gen_ai.completion', 'assistant'), (0, 0, 'content', 'gen_ai.completion', '""')])
-- "{\"role\":\"assistant\",\"content\":[],\"tool_calls\":[]}"

llmtrace_flat_item([(0, 0, 'name', 'llm.request.functions', 'f'), (0, 0, 'input_schema', 'llm.request.functions', '{"b":1}')])
-- "{\"name\":\"f\",\"description\":\"\",\"parameters\":{\"b\":1}}"

llmtrace_flat_item([(0, 0, 'name', 'llm.request.functions', 'f'), (0, 0, 'description', 'llm.request.functions', 'does f'), (0, 0, 'parameters', 'llm.request.functions', '{"a":1}')])
-- "{\"name\":\"f\",\"description\":\"does f\",\"parameters\":{\"a\":1}}"

llmtrace_flat_item([(0, 0, 'json_schema', 'llm.tools', '{"name":"j"}')])
-- "{\"name\":\"j\"}"

llmtrace_flat_item([(0, 0, 'role', 'llm.input_messages', 'assistant'), (0, 0, 'tool_calls.id', 'llm.input_messages', 'c0'), (0, 0, 'tool_calls.name', 'llm.input_messages', 'f'), (0, 0, 'tool_calls.arguments', 'llm.input_messages', '{}'), (0, 1, 'tool_calls.id', 'llm.input_messages', 'c1'), (0, 0, 'finish_reason', 'llm.input_messages', 'stop')])
-- "{\"role\":\"assistant\",\"content\":[],\"finish_reason\":\"stop\",\"tool_calls\":[{\"type\":\"function\",\"id\":\"c0\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function\",\"id\":\"c1\",\"name\":\"\",\"arguments\":\"\"}]}"

llmtrace_flattened(['llm.input_messages.1.message.content', 'llm.input_messages.0.message.role', 'llm.input_messages.0.message.tool_calls.1.tool_call.id', 'gen_ai.completion.0.content', 'other', 'llm.tools.99999.tool.json_schema'], ['b', 'user', 'c1', 'Because.', 'x', 'hostile'])
-- ["[{\"role\":\"user\",\"content\":[],\"tool_calls\":[{\"type\":\"function\",\"id\":\"c1\",\"name\":\"\",\"arguments\":\"\"}]},{\"role\":\"\",\"content\":[\"b\"],\"tool_calls\":[]}]", "[{\"role\":\"\",\"content\":[\"Because.\"],\"tool_calls\":[]}]", "", ""]

llmtrace_flattened(['a'], ['b'])
-- ["", "", "", ""]

llmtrace_flattened(['retrieval.documents.1.document.score', 'retrieval.documents.0.document.id', 'retrieval.documents.0.document.content', 'retrieval.documents.0.document.score', 'retrieval.documents.1.document.metadata', 'retrieval.documents.99999.document.id'], ['1e-05', 'a"b', 'text', '0.5', '{}', 'hostile'])[4]
-- "[{\"id\":\"a\\\"b\",\"score\":0.5},{\"id\":null,\"score\":1e-05}]"

llmtrace_flat_item([(0, 0, 'id', 'retrieval.documents', '7')])
-- "{\"id\":\"7\",\"score\":null}"

llmtrace_document('a', '0.25')
-- "{\"id\":\"a\",\"score\":0.25}"

llmtrace_document('', '-1')
-- "{\"id\":null,\"score\":-1}"

llmtrace_document('a', 'nan')
-- "{\"id\":\"a\",\"score\":null}"

llmtrace_document('a', '0.5, "x": 1')
-- "{\"id\":\"a\",\"score\":null}"

llmtrace_flat_message([(0, 0, 'role', 'gen_ai.completion', 'assistant'), (0, 0, 'function_call.name', 'gen_ai.completion', 'f'), (0, 0, 'function_call.arguments', 'gen_ai.completion', '{"x":1}')])
-- "{\"role\":\"assistant\",\"content\":[],\"tool_calls\":[{\"type\":\"function\",\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}]}"
