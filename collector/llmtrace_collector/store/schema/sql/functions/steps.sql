-- What a step is called. Names are for people and for grouping: ids in them would make each its own.

-- The kind of a step: an operation of the convention, or `span`.
CREATE OR REPLACE FUNCTION llmtrace_step_kind AS (step_kind_operation) -> if(
    step_kind_operation IN ({{ step_operations | literals }}),
    toString(step_kind_operation), 'span'
);

-- The name of a step before it is shortened: that of its tool, agent or data source, else that of its span.
CREATE OR REPLACE FUNCTION llmtrace_raw_step_name AS (raw_step_operation, raw_step_span, raw_step_attributes) ->
    coalesce(
        nullIf(
            raw_step_attributes[
                transform(
                    toString(raw_step_operation),
                    ['execute_tool', 'invoke_agent', 'create_agent', 'retrieval', 'approval', 'approval_request'],
                    [
                        'gen_ai.tool.name', 'gen_ai.agent.name', 'gen_ai.agent.name', 'gen_ai.data_source.id',
                        'gen_ai.tool.name', 'gen_ai.tool.name'
                    ],
                    ''
                )
            ],
            ''
        ),
        toString(raw_step_span)
    );

-- An attribute of a span, or else of its resource.
CREATE OR REPLACE FUNCTION llmtrace_agent AS (agent_attributes, agent_resource, agent_key) ->
    if(agent_attributes[agent_key] != '', agent_attributes[agent_key], agent_resource[agent_key]);

-- A name of at most 200 characters.
CREATE OR REPLACE FUNCTION llmtrace_short_name AS (short_name) -> leftUTF8(short_name, 200);

-- A name with `*` for the ids in it: UUIDs, hexadecimal ids of eight digits and more, numbers of five and more, and
-- numbers that are a part of a path. A call of a model is named after the model, whose date is not an id.
CREATE OR REPLACE FUNCTION llmtrace_step_name AS (step_name_kind, step_name) -> llmtrace_short_name(
    if(
        step_name_kind IN ({{ model_steps | literals }}),
        step_name,
        replaceRegexpAll(
            replaceRegexpAll(
                step_name,
                '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}'
                    || '|\\b[0-9a-fA-F]{8,}\\b|[0-9]{5,}',
                '*'
            ),
            '/[0-9]+\\b', '/*'
        )
    )
);
