"""The providers: each one's name, how invoices and emitters write it, where it answers.

The one table. What the SDK calls an address, what the collector makes of another tracer's name, under which
name the price list is asked and what an export for finance says all follow from a row here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from llmtrace import semconv


class Provider(NamedTuple):
    """One provider of models, or one server that programs run themselves.

    name: of `gen_ai.provider.name` where the conventions have it, else of the price list, else the plain one.
    title: as invoices write it.
    hosts: addresses, each also for what stands below it (`eu.api.example.com`); `*` is a part of one label
        (`bedrock*.*.amazonaws.com`). With a path after the host: only for
        paths that begin so; the longest holds.
    spellings: what emitters call it, in lower case, besides its name.
    listed: its id in the price list (genai-prices), where that is another.
    """

    name: str
    title: str
    hosts: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    listed: str = ""


_HOSTED: Final = (
    Provider(
        "openai",
        "OpenAI",
        (
            "api.openai.com",
            "oai.helicone.ai",
            "oai.hconeai.com",
            "gateway.ai.cloudflare.com/v1/*/*/openai",
        ),
        (
            "openai.chat",
            "openai.responses",
            "openai.completion",
            "openai.embedding",
            "openai.image",
            "openai.speech",
            "openai.transcription",
            "openai-chat",
            "openai-responses",
            "openai_chat",
            "openai_responses",
            "chatopenai",
            "text-completion-openai",
        ),
    ),
    Provider(
        "azure.ai.openai",
        "Microsoft",
        (
            "openai.azure.com",
            "openai.azure.us",
            "openai.azure.cn",
            "azure-api.net",
            "cognitiveservices.azure.com",
            "cognitiveservices.azure.us",
            "services.ai.azure.com/openai",
            "gateway.ai.cloudflare.com/v1/*/*/azure-openai",
        ),
        (
            "az.ai.openai",
            "azure",
            "azure-openai",
            "azure-openai.chat",
            "azure-openai.responses",
            "azure.chat",
            "azure.responses",
            "azure_openai",
            "azureopenai",
            "azure openai",
            "azure_text",
            "microsoft azure",
        ),
        "azure",
    ),
    Provider(
        "azure.ai.inference",
        "Microsoft",
        ("inference.ai.azure.com", "models.ai.azure.com", "services.ai.azure.com", "ai.azure.com"),
        ("az.ai.inference", "az.ai.agents", "azure_ai", "azure-ai", "azure.ai.agents", "azureml"),
        "azure",
    ),
    Provider(
        "anthropic",
        "Anthropic",
        (
            "api.anthropic.com",
            "anthropic.helicone.ai",
            "anthropic.hconeai.com",
            "gateway.ai.cloudflare.com/v1/*/*/anthropic",
        ),
        ("anthropic.messages", "anthropic-chat", "chatanthropic", "claude"),
    ),
    Provider(
        semconv.PROVIDER_AWS_BEDROCK,
        "Amazon Web Services",
        (
            "bedrock*.*.amazonaws.com",
            "bedrock*.*.amazonaws.com.cn",
            "bedrock*.*.vpce.amazonaws.com",
            "bedrock*.*.api.aws",
            "gateway.ai.cloudflare.com/v1/*/*/aws-bedrock",
        ),
        (
            "amazon-bedrock",
            "amazon_bedrock",
            "amazon",
            "aws",
            "aws_bedrock",
            "bedrock",
            "bedrock_converse",
            "bedrock-converse",
            "bedrock-runtime",
            "chatbedrock",
            "chatbedrockconverse",
        ),
        "aws",
    ),
    Provider(
        "aws.sagemaker",
        "Amazon Web Services",
        ("runtime.sagemaker*.*.amazonaws.com",),
        ("sagemaker", "sagemaker_chat", "aws_sagemaker", "sagemaker_endpoint"),
    ),
    Provider(
        "gcp.gemini",
        "Google",
        ("generativelanguage.googleapis.com", "gateway.ai.cloudflare.com/v1/*/*/google-ai-studio"),
        (
            "gemini",
            "google",
            "google.generative-ai",
            "google.generativeai",
            "google_genai",
            "google-genai",
            "google_generative_ai",
            "google-gla",
            "google_ai",
            "generative_ai",
            "palm",
        ),
        "google",
    ),
    Provider(
        "gcp.vertex_ai",
        "Google Cloud",
        (
            "aiplatform.googleapis.com",
            "*-aiplatform.googleapis.com",
            "aiplatform.*.rep.googleapis.com",
            "gateway.ai.cloudflare.com/v1/*/*/google-vertex-ai",
        ),
        (
            "vertex_ai",
            "vertexai",
            "vertex",
            "google-vertex",
            "google_vertex",
            "google_vertexai",
            "google.vertex",
            "google.vertex.chat",
            "google.vertex.anthropic.messages",
            "vertex_ai_beta",
            "google_anthropic_vertex",
        ),
        "google",
    ),
    Provider("gcp.gen_ai", "Google Cloud", ("googleapis.com",), (), "google"),
    Provider(
        "mistral_ai",
        "Mistral AI",
        ("api.mistral.ai", "codestral.mistral.ai", "gateway.ai.cloudflare.com/v1/*/*/mistral"),
        ("mistralai", "mistral", "mistral.chat", "codestral", "text-completion-codestral"),
        "mistral",
    ),
    Provider(
        "cohere",
        "Cohere",
        ("api.cohere.ai", "api.cohere.com", "gateway.ai.cloudflare.com/v1/*/*/cohere"),
        ("cohere.chat", "cohere_chat", "cohere.textembedding"),
    ),
    Provider(
        "groq",
        "Groq",
        ("api.groq.com", "gateway.ai.cloudflare.com/v1/*/*/groq"),
        ("groq.chat", "chatgroq"),
    ),
    Provider(
        "deepseek",
        "DeepSeek",
        ("api.deepseek.com", "gateway.ai.cloudflare.com/v1/*/*/deepseek"),
        ("deepseek.chat", "deep_seek"),
    ),
    Provider(
        "x_ai",
        "xAI",
        ("api.x.ai", "gateway.ai.cloudflare.com/v1/*/*/grok"),
        ("xai", "x-ai", "xai.chat", "xai.responses", "grok"),
        "x-ai",
    ),
    Provider(
        "perplexity",
        "Perplexity",
        ("api.perplexity.ai", "gateway.ai.cloudflare.com/v1/*/*/perplexity-ai"),
        ("perplexity.chat", "perplexity-ai", "perplexity_ai"),
    ),
    Provider(
        "moonshot_ai",
        "Moonshot AI",
        ("api.moonshot.ai", "api.moonshot.cn", "api.moonshot.com"),
        ("moonshot", "moonshotai", "moonshot.chat", "kimi"),
        "moonshotai",
    ),
    Provider(
        "ibm.watsonx.ai",
        "IBM",
        ("ml.cloud.ibm.com",),
        ("watsonx", "watsonx_text", "ibm", "ibm_watsonx", "watson"),
    ),
    Provider(
        "openrouter",
        "OpenRouter",
        ("openrouter.ai", "gateway.ai.cloudflare.com/v1/*/*/openrouter"),
        ("openrouter.chat", "open_router"),
    ),
    Provider(
        "together_ai",
        "Together AI",
        ("api.together.xyz", "api.together.ai"),
        ("together", "together-ai", "togetherai", "togetherai.chat"),
        "together",
    ),
    Provider(
        "fireworks_ai",
        "Fireworks AI",
        ("api.fireworks.ai",),
        ("fireworks", "fireworks-ai", "fireworks.chat"),
        "fireworks",
    ),
    Provider(
        "cerebras",
        "Cerebras",
        ("api.cerebras.ai", "gateway.ai.cloudflare.com/v1/*/*/cerebras-ai"),
        ("cerebras.chat", "cerebras-ai"),
    ),
    Provider(
        "hugging_face",
        "Hugging Face",
        ("huggingface.co", "huggingface.cloud", "gateway.ai.cloudflare.com/v1/*/*/huggingface"),
        ("huggingface", "hugging-face", "hugging face", "hf"),
    ),
    *(
        Provider(
            f"hugging_face.{provider.replace('-', '_')}",
            f"Hugging Face ({title})",
            (f"router.huggingface.co/{provider}",),
            (f"huggingface_{provider}", f"huggingface/{provider}"),
            f"huggingface_{provider}",
        )
        for provider, title in (
            ("cerebras", "Cerebras"),
            ("fireworks-ai", "Fireworks AI"),
            ("groq", "Groq"),
            ("hyperbolic", "Hyperbolic"),
            ("nebius", "Nebius"),
            ("novita", "Novita"),
            ("nscale", "Nscale"),
            ("ovhcloud", "OVHcloud"),
            ("publicai", "Public AI"),
            ("sambanova", "SambaNova"),
            ("together", "Together AI"),
        )
    ),
    Provider("ai21", "AI21 Labs", ("api.ai21.com",), ("ai21_chat",)),
    Provider("aleph_alpha", "Aleph Alpha", ("api.aleph-alpha.com",), ("aleph-alpha", "alephalpha")),
    Provider("arcee", "Arcee AI", ("api.arcee.ai",), ("arcee_ai",)),
    Provider("avian", "Avian", ("api.avian.io",)),
    Provider("baseten", "Baseten", ("inference.baseten.co", "api.baseten.co")),
    Provider(
        "cloudflare",
        "Cloudflare",
        ("api.cloudflare.com", "gateway.ai.cloudflare.com/v1/*/*/workers-ai"),
        ("workers-ai", "workers_ai", "cloudflare-workers-ai"),
    ),
    Provider("cursor", "Cursor", ("api.cursor.com",)),
    Provider(
        "databricks",
        "Databricks",
        ("cloud.databricks.com", "azuredatabricks.net", "gcp.databricks.com", "databricks.com"),
        ("databricks.chat",),
    ),
    Provider("deepinfra", "DeepInfra", ("api.deepinfra.com",), ("deep_infra",)),
    Provider("doubleword", "Doubleword", ("api.doubleword.ai",)),
    Provider("elevenlabs", "ElevenLabs", ("elevenlabs.io",), ("eleven_labs",)),
    Provider(
        "github_copilot",
        "GitHub",
        ("api.githubcopilot.com", "githubcopilot.com"),
        ("copilot",),
        "github-copilot",
    ),
    Provider("github_models", "GitHub", ("models.github.ai",), ("github",)),
    Provider("hyperbolic", "Hyperbolic", ("api.hyperbolic.xyz",)),
    Provider("jina", "Jina AI", ("api.jina.ai",), ("jina_ai", "jinaai")),
    Provider("lambda", "Lambda", ("api.lambda.ai", "api.lambdalabs.com"), ("lambda_ai",)),
    Provider("meta", "Meta", ("api.meta.ai", "api.llama.com"), ("meta_llama",)),
    Provider("modal", "Modal", ("modal.run", "modal.direct")),
    Provider(
        "nebius", "Nebius", ("api.studio.nebius.ai", "api.studio.nebius.com", "api.tokenfactory.nebius.com")
    ),
    Provider("novita", "Novita AI", ("api.novita.ai",), ("novita_ai",)),
    Provider("nscale", "Nscale", ("inference.api.nscale.com",)),
    Provider("nvidia", "NVIDIA", ("integrate.api.nvidia.com",), ("nvidia_nim", "nvidia_ai_endpoints", "nim")),
    Provider("ovhcloud", "OVHcloud", ("endpoints.kepler.ai.cloud.ovh.net", "ai.cloud.ovh.net"), ("ovh",)),
    Provider("quicksilverpro", "QuickSilver Pro", ("api.quicksilverpro.io",)),
    Provider(
        "replicate",
        "Replicate",
        ("api.replicate.com", "stream.replicate.com", "gateway.ai.cloudflare.com/v1/*/*/replicate"),
    ),
    Provider("sambanova", "SambaNova", ("api.sambanova.ai",), ("sambanovacloud",)),
    Provider("scaleway", "Scaleway", ("api.scaleway.ai",)),
    Provider("snowflake", "Snowflake", ("snowflakecomputing.com",)),
    Provider("typesafe", "TypeSafe", ("api.typesafe.ai",)),
    Provider("vercel", "Vercel", ("ai-gateway.vercel.sh",), ("vercel_ai_gateway", "gateway")),
    Provider("voyageai", "Voyage AI", ("api.voyageai.com",), ("voyage", "voyage_ai", "voyage-ai")),
    Provider("writer", "Writer", ("api.writer.com",)),
    Provider("zai", "Z.AI", ("api.z.ai",), ("z.ai", "z-ai")),
)

#: Providers of China and their addresses abroad.
_CHINESE: Final = (
    Provider(
        "alibaba",
        "Alibaba Cloud",
        (
            "dashscope.aliyuncs.com",
            "dashscope-intl.aliyuncs.com",
            "dashscope-us.aliyuncs.com",
            "maas.aliyuncs.com",
        ),
        ("dashscope", "qwen", "tongyi", "bailian", "alibaba_cloud", "aliyun"),
    ),
    Provider("baichuan", "Baichuan", ("api.baichuan-ai.com",)),
    Provider(
        "hunyuan",
        "Tencent Cloud",
        (
            "api.hunyuan.cloud.tencent.com",
            "hunyuan.tencentcloudapi.com",
            "api.lkeap.cloud.tencent.com",
            "lkeap.tencentcloudapi.com",
        ),
        ("tencent", "tencent_hunyuan", "lkeap"),
    ),
    Provider("lingyiwanwu", "01.AI", ("api.lingyiwanwu.com",), ("01-ai", "01ai", "yi")),
    Provider(
        "minimax",
        "MiniMax",
        (
            "api.minimax.com",
            "api.minimax.io",
            "api.minimaxi.com",
            "api.minimaxi.io",
            "api.minimax.chat",
            "api-uw.minimax.io",
        ),
        ("minimaxi", "mini_max"),
    ),
    Provider("modelscope", "ModelScope", ("api-inference.modelscope.cn",)),
    Provider(
        "qianfan",
        "Baidu AI Cloud",
        ("qianfan.baidubce.com", "aip.baidubce.com", "qianfan.*.baidubce.com"),
        ("baidu", "baidu_qianfan", "ernie", "wenxin"),
    ),
    Provider("siliconflow", "SiliconFlow", ("api.siliconflow.cn", "api.siliconflow.com"), ("silicon_flow",)),
    Provider("spark", "iFLYTEK", ("spark-api-open.xf-yun.com", "spark-api.xf-yun.com"), ("iflytek", "xfyun")),
    Provider("stepfun", "StepFun", ("api.stepfun.com", "api.stepfun.ai"), ("step",)),
    Provider(
        "volcengine",
        "Volcengine",
        ("ark.*.volces.com", "ark.*.bytepluses.com"),
        ("volcengine_ark", "ark", "doubao", "bytedance", "byteplus"),
    ),
    Provider("zhipuai", "Zhipu AI", ("open.bigmodel.cn",), ("zhipu", "bigmodel", "chatglm", "glm")),
)

#: Servers that programs run themselves: what they answer has no list price, whatever the model is called.
_SELF_HOSTED: Final = (
    Provider("llama.cpp", "llama.cpp", (), ("llama_cpp", "llamacpp", "llama-cpp", "llamafile")),
    Provider("llmtrace", "llmtrace"),
    Provider("lm_studio", "LM Studio", (), ("lmstudio", "lm-studio")),
    Provider(
        "ollama", "Ollama", ("ollama.com",), ("ollama_chat", "ollama.chat", "ollama.completion", "chatollama")
    ),
    Provider("sglang", "SGLang", (), ("sgl",)),
    Provider("tensorflow_serving", "TensorFlow Serving", (), ("tf_serving", "tensorflow-serving")),
    Provider(
        "tgi", "Text Generation Inference", (), ("text-generation-inference", "text_generation_inference")
    ),
    Provider("transformers", "Transformers"),
    Provider("triton", "Triton Inference Server", (), ("triton_inference_server",)),
    Provider("vllm", "vLLM", (), ("hosted_vllm", "vllm.llm_engine", "vllm_openai")),
)

PROVIDERS: Final[tuple[Provider, ...]] = (*_HOSTED, *_CHINESE, *_SELF_HOSTED)

#: Names of servers that programs run themselves.
SELF_HOSTED: Final = frozenset(provider.name for provider in _SELF_HOSTED)

#: Libraries and products that emitters write where the provider belongs, in lower case, and words for none.
FRAMEWORKS: Final = frozenset(
    (
        "ag2 agno aisuite autogen autogen-core autogen-ext autogen_core beeai browser-use browser_use "
        "camel crew_ai crewai custom dspy gcp.vertex.agent genkit google-adk google_adk guidance haystack "
        "instructor langchain langchain_core langfuse langgraph litellm litellm-proxy litellm_proxy "
        "llama-index llama_index llamaindex logfire mastra mcp microsoft.agent_framework microsoft.agents "
        "microsoft.semantic_kernel microsoft.semantickernel mirascope mlflow model none null openai- "
        "agents openai_agents opentelemetry other portkey prompt_flow promptflow pydantic-ai pydantic_ai "
        "semantic-kernel semantic_kernel smolagents strands strands-agents strands_agents traceloop "
        "undefined unknown "
    ).split()
)
