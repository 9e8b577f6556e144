-- What a span does, in the words of each dialect. attributes/operations.py lists them.

-- By the convention's own attribute; what it does not know stays as it was sent.
CREATE OR REPLACE FUNCTION llmtrace_operation_named AS (text) ->
    if(
        text = '',
        '',
        transform(
            lower(text),
            [{{ operation_names | literals }}],
            [{{ operation_names.values() | literals }}],
            text
        )
    );
{% for key, meanings in operation_kinds.items() %}

-- By {{ key }}; '' where that says nothing that is known.
CREATE OR REPLACE FUNCTION llmtrace_operation_by_{{ key | snake }} AS (text) ->
    transform(
        lower(text),
        [{{ meanings | literals }}],
        [{{ meanings.values() | literals }}],
        ''
    );
{% endfor %}

-- LiteLLM, and OpenLLMetry of Anthropic before it followed the convention, call a chat a completion.
CREATE OR REPLACE FUNCTION llmtrace_operation_in_scope AS (operation, scope) ->
    arrayMap(
        operation_text -> multiIf(
            scope NOT IN ('litellm', 'opentelemetry.instrumentation.anthropic'), operation_text,
            operation_text = 'text_completion', 'chat',
            operation_text
        ),
        [operation]
    )[1];
