llmtrace_tool_schema('{"parameters":{"a":1}}')
-- "{\"a\":1}"

llmtrace_tool_schema('{"inputSchema":{"b":1}}')
-- "{\"b\":1}"

llmtrace_tool_schema('{}')
-- ""

llmtrace_tool('{"type":"function","function":{"name":"f","description":"does f","parameters":{"type":"object"}}}')
-- "{\"type\":\"function\",\"name\":\"f\",\"description\":\"does f\",\"parameters\":{\"type\":\"object\"}}"

llmtrace_tool('{"name":"t","input_schema":{"type":"object"}}')
-- "{\"type\":\"function\",\"name\":\"t\",\"description\":null,\"parameters\":{\"type\":\"object\"}}"

llmtrace_tool('{"type":"web_search"}')
-- "{\"type\":\"web_search\"}"

llmtrace_tools('')
-- ""

llmtrace_tools('[{"name":"t","input_schema":{}},"{\\"type\\": \\"function\\", \\"function\\": {\\"name\\": \\"h\\", \\"parameters\\": {}}}"]')
-- "[{\"type\":\"function\",\"name\":\"t\",\"description\":null,\"parameters\":{}},{\"type\":\"function\",\"name\":\"h\",\"description\":null,\"parameters\":{}}]"
