"""Provider name by address (values of `gen_ai.provider.name`, or the plain name where it has none)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from llmtrace import semconv

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
    "amazonaws.com": semconv.PROVIDER_AWS_BEDROCK,
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "api.fireworks.ai": "fireworks_ai",
    "api.cerebras.ai": "cerebras",
    "huggingface.co": "hugging_face",
    "huggingface.cloud": "hugging_face",
    "ai.azure.com": "azure.ai.inference",
    "api.sambanova.ai": "sambanova",
    "api.deepinfra.com": "deepinfra",
    "api.novita.ai": "novita",
    "api.studio.nebius.ai": "nebius",
    "api.z.ai": "zai",
    "dashscope.aliyuncs.com": "alibaba",
    "dashscope-intl.aliyuncs.com": "alibaba",
    "api.jina.ai": "jina",
    "api.voyageai.com": "voyageai",
    "ollama.com": "ollama",
    "integrate.api.nvidia.com": "nvidia",
}
PROVIDER_HEADER: Final = "x-llmtrace-provider"
"""A server may name itself; the bundled inference service answers with `llmtrace`."""


_VERTEX: Final = "aiplatform.googleapis.com"
"""With the region before it, joined by a hyphen."""
# Headers that one provider alone sends, for gateways and private addresses in front of it.
_BY_HEADER: Final[dict[str, str]] = {
    "x-groq-region": "groq",
    "x-ds-trace-id": "deepseek",
    "mistral-correlation-id": "mistral_ai",
    "anthropic-organization-id": "anthropic",
    "azureml-model-session": "azure.ai.openai",
    "x-compute-type": "hugging_face",
    "x-amzn-bedrock-input-token-count": semconv.PROVIDER_AWS_BEDROCK,
    "x-amzn-bedrock-invocation-latency": semconv.PROVIDER_AWS_BEDROCK,
}
_BY_SERVER: Final[dict[str, str]] = {"llama.cpp": "llama.cpp", "ollama": "ollama"}


def provider_name(host: str, headers: Mapping[str, str], default: str) -> str:
    """Known address > what the server declares > headers only one provider sends > the format's own.

    host: of the request. headers: of the response, by lower-case name or case-insensitive.
    """
    address = host.lower().rstrip(".")
    if address.endswith(_VERTEX):
        return "gcp.vertex_ai"
    suffix = address
    while suffix:
        known = _BY_HOST.get(suffix)
        if known is not None:
            return known
        suffix = suffix.partition(".")[2]
    declared = headers.get(PROVIDER_HEADER)
    if declared:
        return declared
    for name, provider in _BY_HEADER.items():
        if name in headers:
            return provider
    server = headers.get("server", "").partition("/")[0].lower()
    return _BY_SERVER.get(server, default)
