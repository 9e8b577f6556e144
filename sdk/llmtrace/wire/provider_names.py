"""Provider name of a call, by what is known of who answered: values of `gen_ai.provider.name`.

Many servers speak OpenAI's format, and some Anthropic's, Cohere's or Gemini's: the format says nothing of who
answered, so a host that nobody knows is `unknown`, which no list has a price for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from llmtrace import semconv
from llmtrace.common import providers

PROVIDER_HEADER: Final = "x-llmtrace-provider"
"""A server may name itself; the bundled inference service answers with `llmtrace`."""

# Headers that tell which provider a gateway asked: its name, or the address.
_GATEWAY_HEADERS: Final = ("x-portkey-provider", "x-inference-provider", "x-litellm-provider")
_UPSTREAM_ADDRESSES: Final = ("x-litellm-model-api-base", "helicone-target-url", "helicone-openai-api-base")
# Headers that one provider alone sends, for gateways and private addresses in front of it.
_BY_HEADER: Final[dict[str, str]] = {
    "x-groq-region": "groq",
    "x-ds-trace-id": "deepseek",
    "mistral-correlation-id": "mistral_ai",
    "anthropic-organization-id": "anthropic",
    "azureml-model-session": "azure.ai.openai",
    "apim-request-id": "azure.ai.openai",
    "openai-organization": "openai",
    "x-compute-type": "tgi",
    "x-amzn-bedrock-input-token-count": semconv.PROVIDER_AWS_BEDROCK,
    "x-amzn-bedrock-invocation-latency": semconv.PROVIDER_AWS_BEDROCK,
}
_BY_SERVER: Final[dict[str, str]] = {"llama.cpp": "llama.cpp", "ollama": "ollama"}
# Formats that no other server speaks, each with who speaks it at an address of one's own.
_OF_FORMAT: Final[dict[str, str]] = {
    "ollama": "ollama",
    "hugging_face": "tgi",
    semconv.PROVIDER_AWS_BEDROCK: semconv.PROVIDER_AWS_BEDROCK,
    **{name: name for name in ("chroma", "pinecone", "qdrant", "weaviate", "milvus", "elasticsearch")},
    **{name: name for name in ("aws.sagemaker", "ibm.watsonx.ai", "replicate", "cloudflare", "writer")},
    **{name: name for name in ("sglang", "tensorflow_serving", "triton")},
}
# Paths that one provider alone has, with the formats that it speaks there.
_BY_PATH: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    ("/openai/deployments/", ("openai",), "azure.ai.openai"),
    ("/publishers/", ("gcp.gemini", "anthropic"), "gcp.vertex_ai"),
    ("/projects/", ("gcp.gemini",), "gcp.vertex_ai"),
)
# What one server alone writes in bodies of OpenAI's format. A quotation mark in a text is escaped, so that
# these are keys and values of the body itself.
_BY_BODY: Final[tuple[tuple[str, re.Pattern[bytes]], ...]] = (
    ("ollama", re.compile(rb'"system_fingerprint"\s*:\s*"fp_ollama"')),
    (
        "vllm",
        re.compile(
            rb'"(?:prompt_logprobs|kv_transfer_params|prompt_token_ids)"\s*:'
            rb'|"finish_reason"\s*:\s*(?:null|"\w*")\s*,\s*"stop_reason"\s*:'
            rb'|"id"\s*:\s*"embd-[0-9a-f]{32}"'
        ),
    ),
    ("sglang", re.compile(rb'"matched_stop"\s*:')),
    (
        "llama.cpp",
        re.compile(rb'"timings"\s*:\s*\{\s*"(?:prompt_n|cache_n)"|"system_fingerprint"\s*:\s*"b\d+-'),
    ),
)
_ASKED_BYTES: Final = 16 * 1024
"""Of a body so much is asked at its beginning and at its end: each chunk of a stream has the marks."""


def provider_name(
    address: tuple[str, int],
    path: str,
    of_format: str,
    sent: Mapping[str, str],
    received: Mapping[str, str],
    own: Mapping[str, str] | None = None,
) -> str:
    """The program's word for an address > known address > what the server or a gateway declares > headers
    only one provider sends > a path that one provider has > a format that one server speaks > `unknown`.

    address, path: of the request: host and port, and what follows them without query. of_format: whose
    format it is. sent, received: headers of the request and of the response, by lower-case name or
    case-insensitive. own: the setting `providers`.
    """
    host, port = address
    if own:
        table = _own_addresses(tuple(own.items()))
        if known := table.provider(f"{host}:{port}", path) or table.provider(host, path):
            return known
    if known := providers.of_address(host, path):
        return known
    for headers in (received, sent):
        for name in (PROVIDER_HEADER, *_GATEWAY_HEADERS):
            if declared := providers.canonical(headers.get(name) or ""):
                return declared
        for name in _UPSTREAM_ADDRESSES:
            if known := _at(headers.get(name) or ""):
                return known
    for name, provider in _BY_HEADER.items():
        if name in received:
            return provider
    if known := _of_path(path, of_format):
        return known
    server = received.get("server", "").partition("/")[0].lower()
    return _BY_SERVER.get(server) or _OF_FORMAT.get(of_format, providers.UNKNOWN)


def provider_of_api(path: str, of_format: str) -> str:
    """Whose API a path of a format is, wherever it is asked: what a server that plays the provider is."""
    return _of_path(path, of_format) or of_format


def _of_path(path: str, of_format: str) -> str:
    rows = (name for mark, formats, name in _BY_PATH if mark in path and of_format in formats)
    return next(rows, "")


def provider_of_body(received: bytes) -> str:
    """The server that a response's body shows, of those that programs run themselves; else `unknown`."""
    asked = received
    if len(received) > 2 * _ASKED_BYTES:
        asked = received[:_ASKED_BYTES] + received[-_ASKED_BYTES:]
    return next((name for name, mark in _BY_BODY if mark.search(asked)), providers.UNKNOWN)


def _at(url: str) -> str:
    try:
        parts = urlsplit(url)
        return providers.of_address(parts.hostname or "", parts.path)
    except ValueError:  # no address
        return ""


@lru_cache(maxsize=4)
def _own_addresses(rows: tuple[tuple[str, str], ...]) -> providers.AddressTable:
    return providers.AddressTable((address, providers.canonical(name) or name) for address, name in rows)
