llmtrace_first(['', 'a', 'b'])
-- "a"

llmtrace_first(['', ''])
-- ""

llmtrace_unquoted('"a b"')
-- "a b"

llmtrace_unquoted('null')
-- ""

llmtrace_unquoted('""')
-- ""

llmtrace_unquoted('plain')
-- "plain"

llmtrace_unquoted('{"a":1}')
-- "{\"a\":1}"

llmtrace_all_unquoted(['"a"', 'null', 'b'])
-- ["a", "", "b"]

llmtrace_first_values([['', '"a"'], ['null', 'b'], ['']])
-- ["a", "b", ""]

llmtrace_quoted('')
-- "null"

llmtrace_quoted('a "b"')
-- "\"a \\\"b\\\"\""

llmtrace_json_value('')
-- "null"

llmtrace_json_value('"{\\"city\\": \\"Bonn\\"}"')
-- "{\"city\": \"Bonn\"}"

llmtrace_json_value('"text"')
-- "\"text\""

llmtrace_json_value('{"a":1}')
-- "{\"a\":1}"

llmtrace_json_value('"{broken"')
-- "\"{broken\""

llmtrace_embedded('')
-- "null"

llmtrace_embedded('[1,2]')
-- "[1,2]"

llmtrace_embedded('{"a":1}')
-- "{\"a\":1}"

llmtrace_embedded('{broken')
-- "\"{broken\""

llmtrace_embedded('sunny')
-- "\"sunny\""

llmtrace_json_items('[1,{"a":2},"x"]')
-- ["1", "{\"a\":2}", "\"x\""]

llmtrace_json_items('{"a":2}')
-- ["{\"a\":2}"]

llmtrace_json_items('Why?')
-- ["\"Why?\""]

llmtrace_json_items('[broken')
-- ["\"[broken\""]

llmtrace_json_array(['1', '"a"'])
-- "[1,\"a\"]"

llmtrace_json_array([])
-- "[]"

llmtrace_json_array_or_nothing(['1'])
-- "[1]"

llmtrace_json_array_or_nothing(emptyArrayString())
-- ""

llmtrace_python_json('{''a'': 1, ''b'': None, ''c'': {''d'': 2}}')
-- "{\"a\": 1, \"b\": null, \"c\": {\"d\": 2}}"

llmtrace_python_json('')
-- ""
