llmtrace_message_content('{"role":"user","content":"Why?"}')
-- ["\"Why?\""]

llmtrace_message_content('{"role":"user","content":[{"type":"text","text":"a"},"b"]}')
-- ["{\"type\":\"text\",\"text\":\"a\"}", "\"b\""]

llmtrace_message_content('{"role":"assistant","content":null}')
-- []

llmtrace_message_content('{"role":"tool","tool_call_id":"c1","content":"sunny"}')
-- ["{\"type\":\"tool_result\",\"id\":\"c1\",\"content\":\"sunny\"}"]

llmtrace_message_content('{"parts":[1]}')
-- ["1"]

llmtrace_message_content('"text"')
-- ["\"text\""]

llmtrace_message_parts('{"role":"user","content":"Why?"}')
-- "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"Why?\"}]"

llmtrace_message_parts('{"content":"x","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}')
-- "{\"role\":\"\",\"parts\":[{\"type\":\"text\",\"content\":\"x\"},{\"type\":\"tool_call\",\"id\":\"c\",\"name\":\"f\",\"arguments\":{}}]"

llmtrace_message('{"role": "user", "content": "Why?"}', 'user')
-- "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"Why?\"}]}"

llmtrace_message('"bare"', 'user')
-- "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"bare\"}]}"

llmtrace_message('"bare"', 'assistant')
-- "{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"bare\"}]}"

llmtrace_message('{"message": {"role": "assistant", "content": "Because."}, "finish_reason": "stop"}', 'assistant')
-- "{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"Because.\"}],\"finish_reason\":\"stop\"}"

llmtrace_message('{"type": "text", "text": "a part"}', 'user')
-- "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"a part\"}]}"

llmtrace_message('{"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\\"city\\":\\"Bonn\\"}"}}]}', 'user')
-- "{\"role\":\"assistant\",\"parts\":[{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"weather\",\"arguments\":{\"city\":\"Bonn\"}}]}"

llmtrace_messages(['[{"role":"user","content":"Why?"},"more"]', '', 'Because.'], ['user', 'assistant', 'system'])
-- ["[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"Why?\"}]},{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"more\"}]}]", "", "[{\"role\":\"system\",\"parts\":[{\"type\":\"text\",\"content\":\"Because.\"}]}]"]

llmtrace_system_message('Be brief.')
-- "{\"role\":\"system\",\"content\":\"Be brief.\"}"

llmtrace_system_message('')
-- ""

llmtrace_system_message('[{"type":"text","text":"Be kind."}]')
-- "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"Be kind.\"}]}"

llmtrace_system_message('[broken')
-- "{\"role\":\"system\",\"content\":\"[broken\"}"

llmtrace_ai_sdk_answer('Because.', '', '')
-- "[{\"role\":\"assistant\",\"content\":[\"Because.\"]}]"

llmtrace_ai_sdk_answer('', '', '')
-- ""

llmtrace_ai_sdk_answer('a', 'hm', '[{"toolCallId":"t","toolName":"n","args":"{}"}]')
-- "[{\"role\":\"assistant\",\"content\":[{\"type\":\"reasoning\",\"content\":\"hm\"},\"a\",{\"toolCallId\":\"t\",\"toolName\":\"n\",\"args\":\"{}\"}]}]"

llmtrace_own_or_translated('[{"parts":[]}]', 'translated', 'tests')
-- "[{\"parts\":[]}]"

llmtrace_own_or_translated('[{"parts":[]}]', 'translated', 'pydantic-ai')
-- "translated"

llmtrace_own_or_translated('[1]', 'translated', 'tests')
-- "translated"

llmtrace_message_parts('{"role":"tool","tool_call_id":"c1","parts":[{"type":"text","content":"29"}]}')
-- "{\"role\":\"tool\",\"parts\":[{\"type\":\"tool_call_response\",\"id\":\"c1\",\"response\":[{\"type\":\"text\",\"content\":\"29\"}]}]"

llmtrace_message_parts('{"role":"model","parts":[{"text":"Because."}]}')
-- "{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"Because.\"}]"
