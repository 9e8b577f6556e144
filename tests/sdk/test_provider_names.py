"""Who answered a call: known addresses, what servers say of themselves, and `unknown` for the rest."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from genai_prices.data_snapshot import get_snapshot

from llmtrace import semconv
from llmtrace.common import providers
from llmtrace.common.provider_table import FRAMEWORKS, PROVIDERS
from llmtrace.testing import Answer, Captured, ReplayServer, capture, sse
from llmtrace.wire.provider_names import provider_name, provider_of_body

#: For each provider of the price list a URL that its pattern has.
LISTED_URLS = {
    "anthropic": "https://api.anthropic.com/v1/messages",
    "arcee": "https://api.arcee.ai/api/v1/chat/completions",
    "avian": "https://api.avian.io/v1/chat/completions",
    "aws": "https://bedrock-runtime.eu-central-1.amazonaws.com/model/m/converse",
    "azure": "https://res.openai.azure.com/openai/deployments/d/chat/completions",
    "baseten": "https://inference.baseten.co/v1/chat/completions",
    "cerebras": "https://api.cerebras.ai/v1/chat/completions",
    "cloudflare": "https://api.cloudflare.com/client/v4/accounts/a1/ai/v1/chat/completions",
    "cohere": "https://api.cohere.com/v2/chat",
    "cursor": "https://api.cursor.com/v1/chat/completions",
    "databricks": "https://dbc-1.cloud.databricks.com/serving-endpoints/chat/completions",
    "deepseek": "https://api.deepseek.com/v1/chat/completions",
    "doubleword": "https://api.doubleword.ai/v1/chat/completions",
    "elevenlabs": "https://api.eu.residency.elevenlabs.io/v1/text-to-speech/v",
    "fireworks": "https://api.fireworks.ai/inference/v1/chat/completions",
    "github-copilot": "https://api.githubcopilot.com/chat/completions",
    "google": "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    **{
        f"huggingface_{name}": f"https://router.huggingface.co/{name}/v1/chat/completions"
        for name in (
            "cerebras fireworks-ai groq hyperbolic nebius novita nscale ovhcloud publicai sambanova together"
        ).split()
    },
    "meta": "https://api.meta.ai/v1/chat/completions",
    "minimax": "https://api.minimaxi.com/v1/text/chatcompletion_v2",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "modal": "https://team--app.modal.run/v1/chat/completions",
    "moonshotai": "https://api.moonshot.cn/v1/chat/completions",
    "novita": "https://api.novita.ai/v3/openai/chat/completions",
    "openai": "https://api.openai.com/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "ovhcloud": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1/chat/completions",
    "perplexity": "https://api.perplexity.ai/chat/completions",
    "quicksilverpro": "https://api.quicksilverpro.io/v1/chat/completions",
    "together": "https://api.together.xyz/v1/chat/completions",
    "typesafe": "https://api.typesafe.ai/v1/chat/completions",
    "voyageai": "https://api.voyageai.com/v1/embeddings",
    "x-ai": "https://api.x.ai/v1/chat/completions",
    "zai": "https://api.z.ai/api/paas/v4/chat/completions",
    "zhipuai": "https://open.bigmodel.cn/api/paas/v4/chat/completions",
}

#: Other addresses of providers that have several, or of which the list has none.
MORE_URLS = {
    "https://eastus.api.cognitive.microsoft.com/": "",
    "https://apim.azure-api.net/openai/deployments/d/chat/completions": "azure.ai.openai",
    "https://res.cognitiveservices.azure.com/openai/v1/responses": "azure.ai.openai",
    "https://res.services.ai.azure.com/models/chat/completions": "azure.ai.inference",
    "https://res.services.ai.azure.com/openai/v1/chat/completions": "azure.ai.openai",
    "https://bedrock-runtime.us-east-1.api.aws/model/m/converse": "aws.bedrock",
    "https://bedrock-mantle.us-west-2.api.aws/v1/chat/completions": "aws.bedrock",
    "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/m/invoke": "aws.bedrock",
    "https://vpce-0a-b1.bedrock-runtime.eu-west-1.vpce.amazonaws.com/model/m/invoke": "aws.bedrock",
    "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/e/invocations": "aws.sagemaker",
    "https://ec2-3-1-2-3.compute.amazonaws.com/v1/chat/completions": "",
    "https://abc.execute-api.us-east-1.amazonaws.com/v1/chat/completions": "",
    "https://eu-west4-aiplatform.googleapis.com/v1/projects/p": "gcp.vertex_ai",
    "https://aiplatform.eu.rep.googleapis.com/v1/projects/p": "gcp.vertex_ai",
    "https://router.huggingface.co/v1/chat/completions": "hugging_face",
    "https://abc.eu-west-1.aws.endpoints.huggingface.cloud/generate": "hugging_face",
    "https://adb-1.2.azuredatabricks.net/serving-endpoints/chat/completions": "databricks",
    "https://gateway.ai.cloudflare.com/v1/acc/gw/openai/chat/completions": "openai",
    "https://gateway.ai.cloudflare.com/v1/acc/gw/compat/chat/completions": "",
    "https://ark.cn-beijing.volces.com/api/v3/chat/completions": "volcengine",
    "https://ark.ap-southeast.bytepluses.com/api/v3/chat/completions": "volcengine",
    "https://qianfan.baidubce.com/v2/chat/completions": "qianfan",
    "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/completions": "qianfan",
    "https://api.hunyuan.cloud.tencent.com/v1/chat/completions": "hunyuan",
    "https://api.lkeap.cloud.tencent.com/v1/chat/completions": "hunyuan",
    "https://api.minimax.chat/v1/text/chatcompletion_v2": "minimax",
    "https://api.siliconflow.cn/v1/chat/completions": "siliconflow",
    "https://api.siliconflow.com/v1/chat/completions": "siliconflow",
    "https://open.bigmodel.cn/api/paas/v4/chat/completions": "zhipuai",
    "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions": "alibaba",
    "https://API.OPENAI.COM./v1/chat/completions": "openai",
    "https://notapi.openai.com/v1/chat/completions": "",
    "https://api.openai.com.evil.example/v1/chat/completions": "",
}


def _at(url: str) -> str:
    parts = httpx.URL(url)
    return providers.of_address(url.split("/")[2], parts.path)


def test_every_address_of_the_price_list_is_a_provider_that_the_list_knows_again() -> None:
    listed = {provider.id: provider for provider in get_snapshot().providers}
    # Two of the list answer at one address; the rarer is asked for by its models.
    assert LISTED_URLS.keys() == listed.keys() - {"openai-decisions"}
    for name, url in LISTED_URLS.items():
        assert re.match(listed[name].api_pattern, url), url
        provider = _at(url)
        assert provider, url
        assert providers.LISTED.get(provider, provider) == name


@pytest.mark.parametrize("url", MORE_URLS)
def test_other_addresses(url: str) -> None:
    assert _at(url) == MORE_URLS[url]


def test_each_spelling_and_address_is_of_one_provider() -> None:
    spellings = [word for row in PROVIDERS for word in (row.name, *row.spellings)]
    assert len(spellings) == len(set(spellings))
    assert not FRAMEWORKS & set(spellings)
    assert all(word == word.lower() for word in (*spellings, *FRAMEWORKS))
    hosts = [host for row in PROVIDERS for host in row.hosts]
    assert len(hosts) == len(set(hosts))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("OpenAI", "openai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("azure_ai", "azure.ai.inference"),
        ("Bedrock", "aws.bedrock"),
        ("ChatGroq", "groq"),
        ("strands-agents", ""),
        ("gcp.vertex.agent", ""),
        ("LangChain", ""),
        ("My Server", "My Server"),
    ],
)
def test_one_spelling(written: str, name: str) -> None:
    assert providers.canonical(written) == name


LOCAL = ("10.0.0.7", 8000)


@pytest.mark.parametrize(
    ("path", "of_format", "sent", "received", "name"),
    [
        ("/v1/chat/completions", "openai", {}, {}, "unknown"),
        ("/v1/messages", "anthropic", {}, {}, "unknown"),
        ("/v2/chat", "cohere", {}, {}, "unknown"),
        ("/v1/models/m:generateContent", "gcp.gemini", {}, {}, "unknown"),
        ("/api/chat", "ollama", {}, {}, "ollama"),
        ("/generate", "hugging_face", {}, {}, "tgi"),
        ("/model/m/converse", "aws.bedrock", {}, {}, "aws.bedrock"),
        ("/openai/deployments/d/chat/completions", "openai", {}, {}, "azure.ai.openai"),
        ("/v1/publishers/google/models/m:generateContent", "gcp.gemini", {}, {}, "gcp.vertex_ai"),
        ("/v1/projects/p/endpoints/7:generateContent", "gcp.gemini", {}, {}, "gcp.vertex_ai"),
        ("/v1/chat/completions", "openai", {}, {"x-llmtrace-provider": "llmtrace"}, "llmtrace"),
        ("/v1/chat/completions", "openai", {}, {"x-llmtrace-provider": "LangChain"}, "unknown"),
        ("/v1/chat/completions", "openai", {}, {"x-compute-type": "gpu+optimized"}, "tgi"),
        ("/v1/chat/completions", "openai", {}, {"x-groq-region": "fra"}, "groq"),
        ("/v1/chat/completions", "openai", {}, {"server": "llama.cpp"}, "llama.cpp"),
        ("/v1/chat/completions", "openai", {"x-portkey-provider": "openai"}, {}, "openai"),
        ("/v1/chat/completions", "openai", {"helicone-target-url": "https://api.groq.com"}, {}, "groq"),
        (
            "/v1/chat/completions",
            "openai",
            {},
            {"x-litellm-model-api-base": "https://res.openai.azure.com/openai"},
            "azure.ai.openai",
        ),
        ("/v1/chat/completions", "openai", {"helicone-target-url": "https://[bad"}, {}, "unknown"),
    ],
)
def test_addresses_of_ones_own(
    path: str, of_format: str, sent: dict[str, str], received: dict[str, str], name: str
) -> None:
    assert provider_name(LOCAL, path, of_format, sent, received) == name
    # A known address goes before what a server says.
    known = provider_name(("api.groq.com", 443), path, of_format, sent, received)
    assert known == "groq"


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ({"10.0.0.7": "openai"}, "openai"),
        ({"10.0.0.7:8000": "vLLM"}, "vllm"),
        ({"10.0.0.7:8001": "vllm"}, "unknown"),
        ({"10.0.0.7/azure": "azure.ai.openai", "10.0.0.7": "acme"}, "acme"),
        ({"10.0.0.7/v1": "azure.ai.openai", "10.0.0.7": "acme"}, "azure.ai.openai"),
        ({"0.0.7": "openai"}, "openai"),
        ({"10.0.0": "openai"}, "unknown"),
    ],
)
def test_the_programs_word_for_an_address_goes_first(own: dict[str, str], name: str) -> None:
    assert provider_name(LOCAL, "/v1/chat/completions", "openai", {}, {}, own) == name


CHOICE: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"content": "hi"}}
BODY: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [CHOICE]}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (BODY, "unknown"),
        ({**BODY, "system_fingerprint": "fp_ollama"}, "ollama"),
        ({**BODY, "prompt_logprobs": None}, "vllm"),
        ({**BODY, "choices": [{"finish_reason": "length", "stop_reason": None}]}, "vllm"),
        ({"object": "list", "id": "embd-" + "0f" * 16, "data": []}, "vllm"),
        ({**BODY, "choices": [{**CHOICE, "matched_stop": 2}]}, "sglang"),
        ({**BODY, "timings": {"prompt_n": 3}}, "llama.cpp"),
        # The texts of a model are no marks.
        (
            {**BODY, "choices": [{"message": {"content": '"prompt_logprobs": 1, "matched_stop": 2'}}]},
            "unknown",
        ),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_of_ones_own_by_its_answers(body: dict[str, Any], name: str, streamed: bool) -> None:
    request = {"model": "gpt-4o", "messages": [], "stream": streamed}
    answer = sse([body, body]) if streamed else Answer.json(body)
    with ReplayServer(answer, provider="") as server, capture() as traces:
        httpx.post(f"{server.url}/v1/chat/completions", json=request)
        (span,) = traces.snapshot()
    assert span["attributes"][semconv.PROVIDER_NAME] == name
    padded = b" " * 100_000
    assert provider_of_body(httpx.Response(200, json=body).content + padded) == name


def test_a_setting_names_what_stands_behind_a_gateway() -> None:
    with ReplayServer(Answer.json(BODY), provider="") as server:
        with capture(providers={f"127.0.0.1:{server.port}": "azure"}) as traces:
            httpx.post(f"{server.url}/v1/chat/completions", json={"model": "gpt-4o", "messages": []})
        (span,) = traces.snapshot()
    assert span["attributes"][semconv.PROVIDER_NAME] == "azure.ai.openai"


def test_the_replay_server_says_whose_api_is_asked(traces: Captured) -> None:
    paths = ("/v1/chat/completions", "/openai/deployments/d/chat/completions", "/v1/messages")
    with ReplayServer(Answer.json(BODY)) as server:
        for path in paths:
            body = {"model": "m", "max_tokens": 1, "messages": []}
            httpx.post(server.url + path, json=body)
    names = [span["attributes"][semconv.PROVIDER_NAME] for span in traces.snapshot()]
    assert names == ["openai", "azure.ai.openai", "anthropic"]
