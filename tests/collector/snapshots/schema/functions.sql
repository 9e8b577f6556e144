CREATE OR REPLACE FUNCTION llmtrace_step_kind AS (step_kind_operation) -> if(
    step_kind_operation IN (
        'chat', 'text_completion', 'generate_content', 'embeddings', 'execute_tool', 'retrieval', 'invoke_agent',
        'create_agent', 'invoke_workflow', 'rerank'
    ),
    toString(step_kind_operation), 'span'
);

CREATE OR REPLACE FUNCTION llmtrace_raw_step_name AS (raw_step_operation, raw_step_span, raw_step_attributes) ->
    coalesce(
        nullIf(
            raw_step_attributes[
                transform(
                    toString(raw_step_operation),
                    ['execute_tool', 'invoke_agent', 'create_agent', 'retrieval'],
                    ['gen_ai.tool.name', 'gen_ai.agent.name', 'gen_ai.agent.name', 'gen_ai.data_source.id'],
                    ''
                )
            ],
            ''
        ),
        toString(raw_step_span)
    );

CREATE OR REPLACE FUNCTION llmtrace_agent AS (agent_attributes, agent_resource, agent_key) ->
    if(agent_attributes[agent_key] != '', agent_attributes[agent_key], agent_resource[agent_key]);

CREATE OR REPLACE FUNCTION llmtrace_short_name AS (short_name) -> leftUTF8(short_name, 200);

CREATE OR REPLACE FUNCTION llmtrace_step_name AS (step_name_kind, step_name) -> llmtrace_short_name(
    if(
        step_name_kind IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'rerank'),
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

