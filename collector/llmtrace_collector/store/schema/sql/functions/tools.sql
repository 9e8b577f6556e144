-- Definitions of the tools that a model may call, flat as the convention has them.

-- The schema of a tool's arguments.
CREATE OR REPLACE FUNCTION llmtrace_tool_schema AS (tool) ->
    llmtrace_first([
        JSONExtractRaw(tool, 'parameters'),
        JSONExtractRaw(tool, 'input_schema'),
        JSONExtractRaw(tool, 'inputSchema')
    ]);

-- One definition; what has no name or no schema stays as it is.
CREATE OR REPLACE FUNCTION llmtrace_tool AS (definition) ->
    arrayMap(
        tool_function -> arrayMap(
            tool_parameters -> if(
                JSONHas(tool_function, 'name') AND tool_parameters != '',
                concat(
                    '{"type":"function","name":', JSONExtractRaw(tool_function, 'name'),
                    ',"description":', llmtrace_quoted(JSONExtractString(tool_function, 'description')),
                    ',"parameters":', tool_parameters,
                    '}'
                ),
                definition
            ),
            [llmtrace_tool_schema(tool_function)]
        )[1],
        [if(JSONHas(definition, 'function'), JSONExtractRaw(definition, 'function'), definition)]
    )[1];

-- All definitions of a text; each may be JSON text again.
CREATE OR REPLACE FUNCTION llmtrace_tools AS (text) ->
    arrayMap(
        tools_text -> if(
            tools_text = '',
            '',
            llmtrace_json_array(arrayMap(
                tools_definition -> llmtrace_tool(tools_definition),
                llmtrace_all_unquoted(llmtrace_json_items(tools_text))
            ))
        ),
        [text]
    )[1];
