llmtrace_image_part('https://x/y.png')
-- "{\"type\":\"uri\",\"modality\":\"image\",\"uri\":\"https:\\/\\/x\\/y.png\"}"

llmtrace_image_part('data:image/png;base64,AAA')
-- "{\"type\":\"blob\",\"modality\":\"image\",\"mime_type\":\"image\\/png\",\"content\":\"AAA\"}"

llmtrace_image_url('{"image_url":{"url":"u1"}}')
-- "u1"

llmtrace_image_url('{"image_url":"u2"}')
-- "u2"

llmtrace_image_url('{"source":{"url":"u3"}}')
-- "u3"

llmtrace_image_url('{"text":"x"}')
-- ""

llmtrace_blob_part('{"type":"image","source":{"media_type":"image/png","data":"QQ=="}}')
-- "{\"type\":\"blob\",\"mime_type\":\"image\\/png\",\"content\":\"QQ==\"}"

llmtrace_blob_part('{"type":"binary"}')
-- "{\"type\":\"blob\",\"mime_type\":null,\"content\":null}"

llmtrace_tool_call_part('{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\\"city\\":\\"Bonn\\"}"}}')
-- "{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"weather\",\"arguments\":{\"city\":\"Bonn\"}}"

llmtrace_tool_call_part('{"type":"tool-call","toolCallId":"t","toolName":"n","args":{"q":1}}')
-- "{\"type\":\"tool_call\",\"id\":\"t\",\"name\":\"n\",\"arguments\":{\"q\":1}}"

llmtrace_tool_call_part('{"type":"tool_use","id":"u","name":"n","input":{"a":1}}')
-- "{\"type\":\"tool_call\",\"id\":\"u\",\"name\":\"n\",\"arguments\":{\"a\":1}}"

llmtrace_tool_response_part('{"type":"tool_result","tool_use_id":"z","content":[1,2]}')
-- "{\"type\":\"tool_call_response\",\"id\":\"z\",\"response\":[1,2]}"

llmtrace_tool_response_part('{"type":"tool-result","toolCallId":"t","result":"ok"}')
-- "{\"type\":\"tool_call_response\",\"id\":\"t\",\"response\":\"ok\"}"

llmtrace_reasoning_part('{"type":"thinking","thinking":"hm"}')
-- "{\"type\":\"reasoning\",\"content\":\"hm\"}"

llmtrace_text_part('"a"')
-- "{\"type\":\"text\",\"content\":\"a\"}"

llmtrace_part('"bare"')
-- "{\"type\":\"text\",\"content\":\"bare\"}"

llmtrace_part('{"type": "text", "text": "a"}')
-- "{\"type\":\"text\",\"content\":\"a\"}"

llmtrace_part('{"text": "no type"}')
-- "{\"type\":\"text\",\"content\":\"no type\"}"

llmtrace_part('{"type": "input_text", "text": "b"}')
-- "{\"type\":\"text\",\"content\":\"b\"}"

llmtrace_part('{"type": "reasoning", "content": "r"}')
-- "{\"type\":\"reasoning\",\"content\":\"r\"}"

llmtrace_part('{"type": "tool_result", "tool_use_id": "z", "content": "c"}')
-- "{\"type\":\"tool_call_response\",\"id\":\"z\",\"response\":\"c\"}"

llmtrace_part('{"type": "tool_call_response", "id": "i", "result": {"a": 1}}')
-- "{\"type\":\"tool_call_response\",\"id\":\"i\",\"response\":{\"a\":1}}"

llmtrace_part('{"type": "tool_call", "id": "kept", "name": "as it is"}')
-- "{\"type\": \"tool_call\", \"id\": \"kept\", \"name\": \"as it is\"}"

llmtrace_part('{"type": "function", "id": "c", "function": {"name": "f", "arguments": "{}"}}')
-- "{\"type\":\"tool_call\",\"id\":\"c\",\"name\":\"f\",\"arguments\":{}}"

llmtrace_part('{"type": "image_url", "image_url": {"url": "https://i"}}')
-- "{\"type\":\"uri\",\"modality\":\"image\",\"uri\":\"https:\\/\\/i\"}"

llmtrace_part('{"type": "image", "source": {"type": "url", "url": "https://s"}}')
-- "{\"type\":\"uri\",\"modality\":\"image\",\"uri\":\"https:\\/\\/s\"}"

llmtrace_part('{"type": "binary", "media_type": "a/b", "content": "eA=="}')
-- "{\"type\":\"blob\",\"mime_type\":\"a\\/b\",\"content\":\"eA==\"}"

llmtrace_part('{"type": "image", "source": {"data": "QQ==", "media_type": "image/png"}}')
-- "{\"type\":\"blob\",\"mime_type\":\"image\\/png\",\"content\":\"QQ==\"}"

llmtrace_part('{"odd": 1}')
-- "{\"type\":\"text\",\"content\":\"{\\\"odd\\\": 1}\"}"

llmtrace_part('{"type": "custom", "x": 1}')
-- "{\"type\": \"custom\", \"x\": 1}"

llmtrace_part('{"toolUse":{"toolUseId":"c1","name":"f","input":{"x":1}}}')
-- "{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"f\",\"arguments\":{\"x\":1}}"

llmtrace_part('{"toolResult":{"toolUseId":"c1","status":"success","content":[{"text":"29"}]}}')
-- "{\"type\":\"tool_call_response\",\"id\":\"c1\",\"response\":[{\"text\":\"29\"}]}"

llmtrace_part('{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}}')
-- "{\"type\":\"reasoning\",\"content\":\"hm\"}"

llmtrace_part('{"image":{"format":"png","source":{"bytes":"AAAA"}}}')
-- "{\"type\":\"blob\",\"modality\":\"image\",\"mime_type\":\"image\\/png\",\"content\":\"AAAA\"}"

llmtrace_part('{"text":"hm","thought":true}')
-- "{\"type\":\"reasoning\",\"content\":\"hm\"}"

llmtrace_part('{"function_call":{"args":{"x":1},"name":"f"}}')
-- "{\"type\":\"tool_call\",\"id\":null,\"name\":\"f\",\"arguments\":{\"x\":1}}"

llmtrace_part('{"function_response":{"name":"f","response":{"result":29}}}')
-- "{\"type\":\"tool_call_response\",\"id\":null,\"response\":{\"result\":29}}"

llmtrace_part('{"type":"tool-result","toolCallId":"c1","output":{"type":"json","value":29}}')
-- "{\"type\":\"tool_call_response\",\"id\":\"c1\",\"response\":29}"

llmtrace_part('{"type":"file","mediaType":"image/png","data":"AAAA"}')
-- "{\"type\":\"blob\",\"mime_type\":\"image\\/png\",\"content\":\"AAAA\"}"
