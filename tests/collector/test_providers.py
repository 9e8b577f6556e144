"""Which provider a stored call went to: named by its emitter, by the address, or inferred from the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from genai_prices.data_snapshot import get_snapshot

from llmtrace.common import providers
from llmtrace.common.provider_table import FRAMEWORKS, PROVIDERS, SELF_HOSTED
from llmtrace_collector.attributes.names import MODEL_MAKERS, OPEN_WEIGHTS, SERVER_SCOPES, without_prefix
from llmtrace_collector.pricing.tariffs import listing
from llmtrace_collector.store.store import open_store

from .prefilled import prefill
from .test_dialects import Reader

_READ = """SELECT ReportedProvider, Provider, ProviderSource FROM otel_traces
WHERE TraceId = {trace:String}"""

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 3}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    directory: Path = tmp_path_factory.mktemp("providers")
    store = open_store(f"chdb://{prefill(directory / 'store')}")
    yield Reader(store, directory)
    store.close()


#: Attributes and scope of a call → what its emitter wrote, the provider, and what told it.
CALLS: dict[str, tuple[dict[str, object], str, tuple[str, str, str]]] = {
    "a name of the conventions": (
        {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"},
        "tests",
        ("openai", "openai", ""),
    ),
    "capitals, of today's key": (
        {"gen_ai.provider.name": "OpenAI", "gen_ai.request.model": "gpt-4o"},
        "tests",
        ("OpenAI", "openai", ""),
    ),
    "a former spelling": (
        {"gen_ai.system": "az.ai.openai", "gen_ai.request.model": "gpt-4o"},
        "tests",
        ("az.ai.openai", "azure.ai.openai", ""),
    ),
    "a name that the table does not have": (
        {"gen_ai.provider.name": "Our Server", "gen_ai.request.model": "gpt-4o"},
        "tests",
        ("Our Server", "Our Server", ""),
    ),
    "OpenAI's client at DeepSeek": (
        {
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "deepseek-chat",
            "server.address": "api.deepseek.com",
        },
        "opentelemetry.instrumentation.openai_v2",
        ("openai", "deepseek", "address"),
    ),
    "the same by a URL": (
        {
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "glm-4.6",
            "gen_ai.openai.api_base": "https://open.bigmodel.cn/api/paas/v4/",
        },
        "opentelemetry.instrumentation.openai.v1",
        ("OpenAI", "zhipuai", "address"),
    ),
    "an address of one's own says nothing": (
        {"gen_ai.provider.name": "openai", "gen_ai.request.model": "m", "server.address": "10.0.0.7"},
        "tests",
        ("openai", "openai", ""),
    ),
    "a provider at another's address": (
        {"gen_ai.provider.name": "groq", "gen_ai.request.model": "m", "server.address": "api.openai.com"},
        "tests",
        ("groq", "groq", ""),
    ),
    "Strands": (
        {
            "gen_ai.provider.name": "strands-agents",
            "gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        },
        "strands.telemetry.tracer",
        ("strands-agents", "aws.bedrock", "prefix"),
    ),
    "ADK": (
        {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash"},
        "gcp.vertex.agent",
        ("gcp.vertex.agent", "gcp.gemini", "list"),
    ),
    "LangChain with another word": (
        {
            "gen_ai.system": "Langchain",
            "gen_ai.request.model": "gpt-4o",
            "traceloop.association.properties.ls_provider": "azure",
        },
        "opentelemetry.instrumentation.langchain",
        ("Langchain", "azure.ai.openai", ""),
    ),
    "LangChain alone": (
        {"gen_ai.system": "Langchain", "gen_ai.request.model": "claude-sonnet-4-5"},
        "opentelemetry.instrumentation.langchain",
        ("Langchain", "anthropic", "list"),
    ),
    "AutoGen": (
        {"gen_ai.system": "autogen", "gen_ai.request.model": "gpt-4o-2024-08-06"},
        "autogen-core",
        ("autogen", "openai", "list"),
    ),
    "LiteLLM": (
        {"gen_ai.system": "litellm", "gen_ai.request.model": "openai/gpt-4o-mini"},
        "litellm",
        ("litellm", "openai", "prefix"),
    ),
    "a framework at a known address": (
        {
            "gen_ai.provider.name": "langchain",
            "gen_ai.request.model": "gpt-4o",
            "server.address": "res.openai.azure.com",
        },
        "tests",
        ("langchain", "azure.ai.openai", "address"),
    ),
    "a framework and a model that nobody knows": (
        {"gen_ai.provider.name": "crewai", "gen_ai.request.model": "our-model"},
        "tests",
        ("crewai", "unknown", ""),
    ),
    "open weights, which anybody may serve": (
        {"gen_ai.provider.name": "crewai", "gen_ai.request.model": "gpt-oss-20b"},
        "tests",
        ("crewai", "unknown", ""),
    ),
    "no provider at all": (
        {"gen_ai.request.model": "models/gemini-2.5-flash"},
        "tests",
        ("", "gcp.gemini", "prefix"),
    ),
    "only the model that answered": (
        {"gen_ai.response.model": "gpt-4o-2024-08-06"},
        "tests",
        ("", "openai", "list"),
    ),
    "vLLM's server": (
        {"gen_ai.response.model": "openai/gpt-4o", "gen_ai.latency.time_in_queue": 0.1},
        "",
        ("", "vllm", ""),
    ),
    "vLLM by its scope": (
        {"gen_ai.request.model": "openai/gpt-oss-20b"},
        "vllm.llm_engine",
        ("", "vllm", ""),
    ),
    "vLLM by LiteLLM's word": (
        {"gen_ai.system": "hosted_vllm", "gen_ai.request.model": "gpt-4o"},
        "litellm",
        ("hosted_vllm", "vllm", ""),
    ),
    "Ollama": (
        {"gen_ai.system": "Ollama", "gen_ai.request.model": "deepseek-r1:7b"},
        "opentelemetry.instrumentation.ollama",
        ("Ollama", "ollama", ""),
    ),
    "TGI": (
        {"gen_ai.provider.name": "text-generation-inference", "gen_ai.request.model": "gpt-4o"},
        "tests",
        ("text-generation-inference", "tgi", ""),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_provider_of_a_call(read: Reader, name: str) -> None:
    values, scope, expected = CALLS[name]
    read.record({**CHAT, **values}, scope)
    (row,) = read.store.rows(
        "SELECT max(Timestamp) AS at, argMax(TraceId, Timestamp) AS trace FROM otel_traces"
    )
    (row,) = read.store.rows(_READ, {"trace": row["trace"]})
    assert tuple(row.values()) == expected


def test_what_is_no_call_has_no_provider_but_its_own(read: Reader) -> None:
    for values, expected in (
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "gpt-4o"}, ("", "", "")),
        (
            {"gen_ai.operation.name": "retrieval", "gen_ai.provider.name": "pinecone"},
            ("pinecone", "pinecone", ""),
        ),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "crewai"}, ("crewai", "", "")),
        ({"http.method": "GET", "server.address": "api.openai.com"}, ("", "", "")),
    ):
        read.record(values)
        (row,) = read.store.rows("SELECT argMax(TraceId, Timestamp) AS trace FROM otel_traces")
        (row,) = read.store.rows(_READ, {"trace": row["trace"]})
        assert tuple(row.values()) == expected


def _makers(model: str) -> set[str]:
    return {name for pattern, name in MODEL_MAKERS.items() if re.search(pattern, model.lower())}


def test_makers_are_those_to_whom_the_price_list_ascribes_a_name() -> None:
    """Of every model of the list: where our patterns name one maker, the list names no other."""
    listed = get_snapshot().providers
    sole = 0
    for model in {model.id for provider in listed for model in provider.models}:
        ours = _makers(model)
        theirs = {
            provider.id
            for provider in listed
            if provider.model_match is not None and provider.model_match.is_match(model)
        }
        if re.search(OPEN_WEIGHTS, model.lower()) or len(ours) != 1:
            continue
        (name,) = ours
        name = providers.LISTED.get(name, name)
        sole += theirs == {name}
        # Names that the list ascribes to nobody have an owner who alone sells them.
        assert not theirs or name in theirs, model
    assert sole > 300


@pytest.mark.parametrize("provider", [*sorted(SELF_HOSTED), *SERVER_SCOPES.values(), providers.UNKNOWN, ""])
def test_servers_of_ones_own_have_no_list_price(provider: str) -> None:
    models = sorted({model.id for owner in get_snapshot().providers for model in owner.models})[::9]
    assert not [model for model in models if listing(provider, model) is not None]


def test_every_provider_of_the_list_is_priced_by_its_name() -> None:
    owners = {owner.id: owner for owner in get_snapshot().providers}
    named = {provider.listed or provider.name: provider.name for provider in PROVIDERS}
    assert owners.keys() <= named.keys() | {"openai-decisions"}
    for listed_name, name in named.items():
        if owner := owners.get(listed_name):
            models = (
                f"{prefix}{model.id}"
                for model in owner.models
                for prefix in ("", "accounts/fireworks/models/")
            )
            assert any(listing(name, model) for model in models), name


def test_no_framework_has_a_price() -> None:
    assert not [name for name in FRAMEWORKS if listing(providers.canonical(name), "gpt-4o")]


@pytest.mark.parametrize(
    ("provider", "model", "plain"),
    [
        ("openai", "openai/gpt-4o-mini", "gpt-4o-mini"),
        ("openai", "openai:gpt-4o-mini", "gpt-4o-mini"),
        ("gcp.gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gcp.gemini", "gemini/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gcp.vertex_ai", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "publishers/anthropic/models/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("azure.ai.openai", "azure/gpt-4o", "gpt-4o"),
        (
            "aws.bedrock",
            "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        ("groq", "groq/llama-3.3-70b-versatile", "llama-3.3-70b-versatile"),
        ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5"),
    ],
)
def test_a_prefix_does_not_hide_the_price(provider: str, model: str, plain: str) -> None:
    assert without_prefix(provider, model) == plain
    prefixed, listed = listing(provider, model), listing(provider, plain)
    assert prefixed is not None
    assert prefixed == listed


def test_a_prefix_that_is_another_providers_stays() -> None:
    assert without_prefix("openrouter", "openai/gpt-4o-mini") == "openai/gpt-4o-mini"
    assert without_prefix("vllm", "openai/gpt-4o-mini") == "openai/gpt-4o-mini"
    assert listing("vllm", "openai/gpt-4o-mini") is None
