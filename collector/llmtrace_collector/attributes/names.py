"""Names that differ by dialect: of providers and of service tiers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from llmtrace import semconv
from llmtrace.common.provider_table import FRAMEWORKS, PROVIDERS
from llmtrace.common.providers import SPELLINGS, host_pattern

#: What emitters write for a provider, lower-cased → its name; empty for what is none.
PROVIDER_NAMES: Mapping[str, str] = MappingProxyType({**SPELLINGS, **dict.fromkeys(sorted(FRAMEWORKS), "")})

#: Instrumentations of servers that programs run themselves.
SERVER_SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "vllm": "vllm",
        "vllm.llm_engine": "vllm",
        "vllm.entrypoints": "vllm",
        "opentelemetry.instrumentation.ollama": "ollama",
        "text-generation-inference": "tgi",
        "text_generation_router": "tgi",
    }
)

#: Providers whose client libraries are pointed at others too: the address that was called goes before them.
SHAPES = ("openai", "anthropic")

#: Hosts → the provider, for the host and what stands below it.
PROVIDER_HOSTS: Mapping[str, str] = MappingProxyType(
    {
        host: provider.name
        for provider in PROVIDERS
        for host in provider.hosts
        if "/" not in host and "*" not in host
    }
)

#: Patterns of hosts with a part that differs by region → the provider.
PROVIDER_HOST_PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        host_pattern(host): provider.name
        for provider in PROVIDERS
        for host in provider.hosts
        if "*" in host and "/" not in host
    }
)

#: Patterns of models' names that say in which provider's catalogue they stand.
MODEL_CATALOGUES: Mapping[str, str] = MappingProxyType(
    {
        r"^arn:aws[a-z-]*:(bedrock|sagemaker):": semconv.PROVIDER_AWS_BEDROCK,
        r"^((us|us-gov|eu|apac|au|ca|jp|sa|global)\.)?(ai21|amazon|anthropic|cohere|deepseek|google|luma|meta"
        r"|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|stability|twelvelabs|writer|zai)"
        r"\.[a-z]": semconv.PROVIDER_AWS_BEDROCK,
        r"(^|/)publishers/[a-z0-9-]+/models/": "gcp.vertex_ai",
        r"^(models|tunedmodels)/": "gcp.gemini",
        r"^accounts/[a-z0-9-]+/(models|deployments|deployedmodels)/": "fireworks_ai",
        r"^@(cf|hf)/": "cloudflare",
        r"^google/gemini": "gcp.gemini",
    }
)

#: Spellings of providers that before a slash are rather owners of open weights, which anybody may serve.
WEIGHTS_OWNERS = frozenset(
    (
        "01-ai ai21 alibaba amazon baichuan baidu bytedance databricks google ibm iflytek mistralai "
        "moonshotai nvidia qwen snowflake stepfun tencent writer"
    ).split()
)

#: Prefixes of models' names, as routers write them (`openai/gpt-4o-mini`) → the provider.
MODEL_PREFIXES: Mapping[str, str] = MappingProxyType(
    {word: name for word, name in SPELLINGS.items() if word not in WEIGHTS_OWNERS}
)

_PREFIX = re.compile(r"([^/:]+)[/:](.+)")


def without_prefix(provider: str, model: str) -> str:
    """A model's name as its provider's catalogue has it: without the path of an API, or a router's prefix."""
    name = re.sub(r"^(?:.*/)?(?:models|tunedModels)/", "", model) if provider.startswith("gcp.") else model
    match = _PREFIX.fullmatch(name)
    return match[2] if match and MODEL_PREFIXES.get(match[1].lower()) == provider else name


#: Families of models at Amazon Bedrock, each with its maker's part of the model id.
_BEDROCK_MAKERS: Mapping[str, str] = MappingProxyType(
    {
        "nova-": "amazon",
        "titan-": "amazon",
        "claude-": "anthropic",
        "command-": "cohere",
        "embed-": "cohere",
        "jamba-": "ai21",
        "llama": "meta",
        "mistral-": "mistral",
        "mixtral-": "mistral",
        "ministral-": "mistral",
        "pixtral-": "mistral",
    }
)


def with_maker(provider: str, model: str) -> str:
    """The whole id of a model of Bedrock whose maker was left out, as OpenLLMetry does; else the name."""
    if provider != semconv.PROVIDER_AWS_BEDROCK:
        return model
    return next(
        (f"{maker}.{model}" for family, maker in _BEDROCK_MAKERS.items() if model.startswith(family)), model
    )


#: Models whose weights are open, or with a tag as local servers have it: no maker's price holds for them.
OPEN_WEIGHTS = r"gpt-oss|r1-distill|^[^@:/]*:([a-z0-9.-]*[0-9.]+[bm]|latest|instruct|chat|free)"

#: Patterns of the models that the price list ascribes to one provider by their name alone.
MODEL_MAKERS: Mapping[str, str] = MappingProxyType(
    {
        "claude": "anthropic",
        "cerebras": "cerebras",
        "^command-": "cohere",
        "^composer-": "cursor",
        r"^(databricks-|system\.ai\.)": "databricks",
        "^deepseek": "deepseek",
        "^eleven_": "elevenlabs",
        "gemini": "gcp.gemini",
        r"^(muse-wonder-1\.0$|muse-spark-)": "meta",
        "^(minimax-m|minimax-01$|m2-her$)": "minimax",
        "^(labs-)?((mi|code|dev|magi|mini)stral|(mi|pi|vo)x?tral|open-(mistral|mixtral))": "mistral_ai",
        "^(kimi|moonshot)": "moonshot_ai",
        "^(ft:)?(gpt-|whisper-1$|tts-1|o[134])|^(text-embedding-(ada|3)|dall-e-)": "openai",
        "^(sonar|pplx-)": "perplexity",
        "^jev-": "typesafe",
        "^voyage-": "voyageai",
        "grok": "x_ai",
        "^glm-": "zhipuai",
    }
)

#: The tier of answers that came from a gateway's cache: no model ran.
RESPONSE_CACHE = "response_cache"

#: Names of the tier that everyone gets who asks for none.
STANDARD_TIERS = ("auto", "default", "standard", "on_demand", "standard_only")
