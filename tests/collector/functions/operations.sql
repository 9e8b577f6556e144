llmtrace_operation_named('chat')
-- "chat"

llmtrace_operation_named('ACOMPLETION')
-- "chat"

llmtrace_operation_named('plan')
-- "plan"

llmtrace_operation_named('')
-- ""

llmtrace_operation_by_openinference_span_kind('LLM')
-- "chat"

llmtrace_operation_by_openinference_span_kind('odd')
-- ""

llmtrace_operation_by_llm_request_type('completion')
-- "text_completion"

llmtrace_operation_by_ai_operation_id('ai.streamText.doStream')
-- "chat"

llmtrace_operation_by_langfuse_observation_type('GENERATION')
-- "chat"

llmtrace_operation_by_mlflow_span_type('CHAT_MODEL')
-- "chat"

llmtrace_operation_by_traceloop_span_kind('workflow')
-- "invoke_workflow"

llmtrace_operation_by_span_type('Flow')
-- "invoke_workflow"

llmtrace_operation_in_scope('text_completion', 'litellm')
-- "chat"

llmtrace_operation_in_scope('text_completion', 'opentelemetry.instrumentation.anthropic')
-- "chat"

llmtrace_operation_in_scope('text_completion', 'other')
-- "text_completion"

llmtrace_operation_in_scope('embeddings', 'litellm')
-- "embeddings"
