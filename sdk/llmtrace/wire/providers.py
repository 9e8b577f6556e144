"""Provider name by address (values of `gen_ai.provider.name`, or the plain name where it has none)."""

from __future__ import annotations

from typing import Final

_BY_HOST: Final[dict[str, str]] = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "inference.ai.azure.com": "azure.ai.inference",
    "services.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "api.fireworks.ai": "fireworks_ai",
    "api.cerebras.ai": "cerebras",
    "router.huggingface.co": "hugging_face",
    "integrate.api.nvidia.com": "nvidia",
}
PROVIDER_HEADER: Final = "x-llmtrace-provider"
"""A server may name itself; the bundled inference service answers with `llmtrace`."""


def provider_name(host: str, declared: str | None, default: str) -> str:
    """Known address > what the server declares > the wire format's own provider."""
    suffix = host.lower().rstrip(".")
    while suffix:
        known = _BY_HOST.get(suffix)
        if known is not None:
            return known
        suffix = suffix.partition(".")[2]
    return declared or default
