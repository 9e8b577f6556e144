llmtrace_step_kind('execute_tool')
-- "execute_tool"

llmtrace_step_kind('plan')
-- "span"

llmtrace_raw_step_name('execute_tool', 'span name', map('gen_ai.tool.name', 'weather'))
-- "weather"

llmtrace_raw_step_name('execute_tool', 'span name', map('k', 'v'))
-- "span name"

llmtrace_raw_step_name('chat', 'chat gpt-4o', map('gen_ai.tool.name', 'weather'))
-- "chat gpt-4o"

llmtrace_agent(map('gen_ai.agent.name', 'a'), map('gen_ai.agent.name', 'b'), 'gen_ai.agent.name')
-- "a"

llmtrace_agent(map('k', 'v'), map('gen_ai.agent.name', 'b'), 'gen_ai.agent.name')
-- "b"

length(llmtrace_short_name(repeat('ä', 300)))
-- 400

llmtrace_step_name('span', 'GET /orders/77 of 3f2504e0-4f89-11d3-9a0c-0305e82c3301')
-- "GET /orders/* of *"

llmtrace_step_name('span', 'job 123456 and deadbeef01')
-- "job * and *"

llmtrace_step_name('chat', 'gpt-4o-20240806')
-- "gpt-4o-20240806"
