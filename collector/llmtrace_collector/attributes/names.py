"""Names that differ by dialect: of providers, of reasons why an answer ended, of service tiers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llmtrace import semconv

#: Provider names of dialects and older conventions, lower-cased → the current ones.
PROVIDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "vertex_ai": "gcp.vertex_ai",
        "vertexai": "gcp.vertex_ai",
        "google-vertex": "gcp.vertex_ai",
        "google.vertex": "gcp.vertex_ai",
        "google.vertex.chat": "gcp.vertex_ai",
        "gemini": "gcp.gemini",
        "google": "gcp.gemini",
        "google.generative-ai": "gcp.gemini",
        "google_genai": "gcp.gemini",
        "az.ai.openai": "azure.ai.openai",
        "azure": "azure.ai.openai",
        "azure-openai": "azure.ai.openai",
        "azure-openai.chat": "azure.ai.openai",
        "azure_openai": "azure.ai.openai",
        "az.ai.inference": "azure.ai.inference",
        "azure_ai": "azure.ai.inference",
        "amazon-bedrock": semconv.PROVIDER_AWS_BEDROCK,
        "amazon": semconv.PROVIDER_AWS_BEDROCK,
        "aws": semconv.PROVIDER_AWS_BEDROCK,
        "bedrock": semconv.PROVIDER_AWS_BEDROCK,
        "bedrock_converse": semconv.PROVIDER_AWS_BEDROCK,
        "xai": "x_ai",
        "xai.chat": "x_ai",
        "mistralai": "mistral_ai",
        "mistral": "mistral_ai",
        "mistral.chat": "mistral_ai",
        "moonshot": "moonshot_ai",
        "openai": "openai",
        "openai.chat": "openai",
        "openai.responses": "openai",
        "openai.completion": "openai",
        "openai.embedding": "openai",
        "anthropic": "anthropic",
        "anthropic.messages": "anthropic",
        "cohere": "cohere",
        "cohere.chat": "cohere",
        "groq.chat": "groq",
        "deepseek.chat": "deepseek",
        "perplexity.chat": "perplexity",
        "watsonx": "ibm.watsonx.ai",
    }
)

#: Finish reasons of providers and dialects, lower-cased → the convention's.
FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "complete": "stop",
        "completed": "stop",
        "eos": "stop",
        "finish_reason_stop": "stop",
        "max_tokens": "length",
        "max_output_tokens": "length",
        "model_length": "length",
        "tool_use": "tool_call",
        "tool_calls": "tool_call",
        "tool-calls": "tool_call",
        "function_call": "tool_call",
        "content-filter": "content_filter",
        "safety": "content_filter",
        "refusal": "content_filter",
        "content_filtered": "content_filter",
        "guardrail_intervened": "content_filter",
    }
)

#: The tier of answers that came from a gateway's cache: no model ran.
RESPONSE_CACHE = "response_cache"

#: Names of the tier that everyone gets who asks for none.
STANDARD_TIERS = ("auto", "default", "standard", "on_demand", "standard_only")
