llmtrace_provider_name('OpenAI')
-- "openai"

llmtrace_provider_name('az.ai.openai')
-- "azure.ai.openai"

llmtrace_provider_name('azure')
-- "azure.ai.openai"

llmtrace_provider_name('amazon-bedrock')
-- "aws.bedrock"

llmtrace_provider_name('Own')
-- "Own"

llmtrace_provider_name('strands-agents')
-- ""

llmtrace_provider_name('')
-- ""

llmtrace_named_provider('vllm.llm_engine', ['openai', ''])
-- "vllm"

llmtrace_named_provider('app', ['langchain', 'anthropic'])
-- "anthropic"

llmtrace_named_provider('app', ['langchain', ''])
-- ""

llmtrace_host('https://user@API.deepseek.com:443/v1?x')
-- "api.deepseek.com"

llmtrace_host('api.deepseek.com')
-- "api.deepseek.com"

llmtrace_host('')
-- ""

llmtrace_provider_of_host('api.openai.com')
-- "openai"

llmtrace_provider_of_host('res.openai.azure.com')
-- "azure.ai.openai"

llmtrace_provider_of_host('eu-west4-aiplatform.googleapis.com')
-- "gcp.vertex_ai"

llmtrace_provider_of_host('aiplatform.eu.rep.googleapis.com')
-- "gcp.vertex_ai"

llmtrace_provider_of_host('generativelanguage.googleapis.com')
-- "gcp.gemini"

llmtrace_provider_of_host('bedrock-runtime.us-east-1.amazonaws.com')
-- "aws.bedrock"

llmtrace_provider_of_host('bedrock-mantle.us-east-1.api.aws')
-- "aws.bedrock"

llmtrace_provider_of_host('ark.cn-beijing.volces.com')
-- "volcengine"

llmtrace_provider_of_host('ec2-1-2.compute.amazonaws.com')
-- ""

llmtrace_provider_of_host('res.services.ai.azure.com')
-- "azure.ai.inference"

llmtrace_provider_of_host('notapi.openai.com')
-- ""

llmtrace_provider_of_host('api.openai.com.evil.example')
-- ""

llmtrace_provider_of_host('localhost')
-- ""

llmtrace_provider_of_host('')
-- ""

llmtrace_group(['', 'b', ''])
-- 2

llmtrace_group(['', ''])
-- 0

llmtrace_provider_of_prefix('openai/gpt-4o-mini')
-- "openai"

llmtrace_provider_of_prefix('models/gemini-2.5-flash')
-- "gcp.gemini"

llmtrace_provider_of_prefix('projects/p/locations/l/publishers/google/models/gemini-2.5-pro')
-- "gcp.vertex_ai"

llmtrace_provider_of_prefix('publishers/anthropic/models/claude-sonnet-4-5')
-- "gcp.vertex_ai"

llmtrace_provider_of_prefix('us.anthropic.claude-sonnet-4-5-20250929-v1:0')
-- "aws.bedrock"

llmtrace_provider_of_prefix('amazon.nova-pro-v1:0')
-- "aws.bedrock"

llmtrace_provider_of_prefix('arn:aws:bedrock:us-east-1:1:inference-profile/x')
-- "aws.bedrock"

llmtrace_provider_of_prefix('azure_ai/phi-4')
-- "azure.ai.inference"

llmtrace_provider_of_prefix('hosted_vllm/openai/gpt-oss-20b')
-- "vllm"

llmtrace_provider_of_prefix('google-gla:gemini-2.5-pro')
-- "gcp.gemini"

llmtrace_provider_of_prefix('openai:gpt-4o')
-- "openai"

llmtrace_provider_of_prefix('accounts/fireworks/models/llama-v3')
-- "fireworks_ai"

llmtrace_provider_of_prefix('@cf/meta/llama-3')
-- "cloudflare"

llmtrace_provider_of_prefix('ollama_chat/llama3')
-- "ollama"

llmtrace_provider_of_prefix('mistral:7b')
-- ""

llmtrace_provider_of_prefix('mistral:latest')
-- ""

llmtrace_provider_of_prefix('mistralai/Mixtral-8x7B-Instruct-v0.1')
-- ""

llmtrace_provider_of_prefix('Qwen/Qwen2.5-7B')
-- ""

llmtrace_provider_of_prefix('google/gemma-2-9b')
-- ""

llmtrace_provider_of_prefix('google/gemini-2.5-pro')
-- "gcp.gemini"

llmtrace_provider_of_prefix('meta-llama/Llama-3.1-8B')
-- ""

llmtrace_provider_of_prefix('gpt-4o')
-- ""

llmtrace_provider_of_list('gpt-4o-mini-2024-07-18')
-- "openai"

llmtrace_provider_of_list('ft:gpt-4o-mini:acme::1')
-- "openai"

llmtrace_provider_of_list('claude-sonnet-4-5')
-- "anthropic"

llmtrace_provider_of_list('gemini-2.5-flash')
-- "gcp.gemini"

llmtrace_provider_of_list('command-r-plus')
-- "cohere"

llmtrace_provider_of_list('kimi-k2')
-- "moonshot_ai"

llmtrace_provider_of_list('glm-4.6')
-- "zhipuai"

llmtrace_provider_of_list('gpt-oss-20b')
-- ""

llmtrace_provider_of_list('deepseek-r1:7b')
-- ""

llmtrace_provider_of_list('deepseek-r1-distill-llama-70b')
-- ""

llmtrace_provider_of_list('llama3')
-- ""

llmtrace_provider_of_list('gemini-claude')
-- ""

llmtrace_provider_of_list('')
-- ""

llmtrace_provider_evidence(true, 'groq', 'api.openai.com', 'm')
-- ["groq", ""]

llmtrace_provider_evidence(true, 'openai', 'api.deepseek.com', 'deepseek-chat')
-- ["deepseek", "address"]

llmtrace_provider_evidence(true, 'openai', 'api.openai.com', 'gpt-4o')
-- ["openai", "address"]

llmtrace_provider_evidence(true, 'openai', '127.0.0.1', 'gpt-4o')
-- ["openai", ""]

llmtrace_provider_evidence(true, '', 'api.groq.com', 'gpt-4o')
-- ["groq", "address"]

llmtrace_provider_evidence(true, '', '', 'openai/gpt-4o')
-- ["openai", "prefix"]

llmtrace_provider_evidence(true, '', '', 'gpt-4o')
-- ["openai", "list"]

llmtrace_provider_evidence(true, '', '', 'own-model')
-- ["unknown", ""]

llmtrace_provider_evidence(false, '', '', 'gpt-4o')
-- ["", ""]

llmtrace_provider_evidence(false, 'pinecone', '', '')
-- ["pinecone", ""]

llmtrace_provider(['groq', 'address'])
-- "groq"

llmtrace_provider_source(['deepseek', 'address'], 'openai')
-- "address"

llmtrace_provider_source(['openai', 'address'], 'openai')
-- ""

llmtrace_provider_source(['openai', 'list'], '')
-- "list"
