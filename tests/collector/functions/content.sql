arrayMap(k -> llmtrace_is_content(k), ['gen_ai.input.messages', 'gen_ai.prompt.0.content', 'llm.input_messages.0.message.role', 'input.value', 'gen_ai.request.model', 'user.id', 'own'])
-- [1, 1, 1, 1, 0, 0, 0]

llmtrace_is_content('request_data')
-- 1

llmtrace_is_content('gen_ai.usage.input_tokens')
-- 0

arrayMap(e -> llmtrace_is_conversation(e), ['gen_ai.user.message', 'llm.x', 'ai.y', 'exception', 'own.gen_ai.x'])
-- [1, 1, 1, 0, 0]

llmtrace_is_conversation('gen_ai.choice')
-- 1

llmtrace_without_content(map('gen_ai.input.messages', 'a', 'own', 'b'))
-- {"own": "b"}

llmtrace_event_without_content(map('content', 'a', 'own', 'b'), 'gen_ai.user.message')
-- {"own": "b"}

llmtrace_event_without_content(map('content', 'a', 'own', 'b'), 'exception')
-- {"content": "a", "own": "b"}

llmtrace_name_only('gpt-4o, claude/3:x')
-- "gpt-4o, claude/3:x"

llmtrace_name_only('Some prose, with words')
-- ""

llmtrace_name_only('["stop"]')
-- "[\"stop\"]"

arrayMap(k -> llmtrace_has_column(k), ['ai.prompt.messages', 'gen_ai.prompt.0.content', 'llm.prompts.0.x', 'gen_ai.prompt.x', 'own'])
-- [1, 1, 1, 0, 0]

llmtrace_has_column('input.value')
-- 1
