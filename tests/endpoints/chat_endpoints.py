"""Chat, completions and the answers of APIs that several speak: recorded, or after their references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .endpoint import Endpoint, Price
from .replayed import in_turn, recorded, replayed, sampled

_USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
_TOKENS: Final = {"InputTokens": 12, "OutputTokens": 5}
_ASKED: Final = [{"role": "user", "content": "Hi"}]


def _completion(model: str, usage: Mapping[str, Any] = _USAGE) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": dict(usage),
    }


def _chat(
    title: str,
    provider: str,
    model: str,
    price: Price = "listed",
    path: str = "/v1/chat/completions",
    *,
    remark: str = "",
    more: Mapping[str, Any] | None = None,
) -> Endpoint:
    """A provider of OpenAI's chat completions. more: of its usage, beyond the tokens."""
    answer = _completion(model, {**_USAGE, **(more or {})})
    sent: dict[str, Any] = {"model": model, "messages": _ASKED}
    if "/prompts/" in path:
        sent = {"variables": {"name": "Ann"}}
    return Endpoint(
        "chat completions",
        title,
        replayed(path, sent, answer, provider=provider, api="/v1/chat/completions"),
        ("chat",),
        _TOKENS,
        price,
        streams=True,
        remark=remark,
    )


_OWN: Final = "a server of your own: give it a price, or a fixed line"

_CHAT: Final = (
    Endpoint(
        "chat completions",
        "OpenAI",
        recorded("openai:genai_openai/inference_conformance#0"),
        ("chat",),
        {"InputTokens": 12, "OutputTokens": 5},
        "listed",
        streams=True,
        source="recorded",
        recording="openai:genai_openai/inference_conformance#0",
    ),
    Endpoint(
        "chat completions",
        "Azure OpenAI",
        recorded("azure_openai:test_azure/test_chat#0"),
        ("chat",),
        {"InputTokens": 15, "OutputTokens": 24},
        "listed",
        streams=True,
        source="recorded",
        recording="azure_openai:test_azure/test_chat#0",
    ),
    _chat(
        "Azure AI inference",
        "azure.ai.inference",
        "gpt-4o-mini",
        path="/models/chat/completions?api-version=1",
    ),
    _chat("Groq", "groq", "llama-3.3-70b-versatile"),
    _chat("DeepSeek", "deepseek", "deepseek-chat"),
    _chat("Mistral", "mistral_ai", "mistral-large-latest"),
    _chat("xAI", "x_ai", "grok-3", "stated", more={"cost_in_usd_ticks": 10_000_000}),
    _chat("Perplexity", "perplexity", "sonar", "stated", more={"cost": {"total_cost": 0.001}}),
    _chat("OpenRouter", "openrouter", "openai/gpt-4o-mini", "stated", more={"cost": 0.001}),
    _chat("Together", "together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    _chat(
        "Fireworks",
        "fireworks_ai",
        "accounts/fireworks/models/deepseek-v3p2",
        path="/inference/v1/chat/completions",
    ),
    _chat("Moonshot", "moonshot_ai", "kimi-k2-0711-preview"),
    _chat("Cerebras", "cerebras", "llama3.1-8b"),
    _chat("AI21", "ai21", "jamba-mini", "unpriced", "/studio/v1/chat/completions"),
    _chat(
        "Cloudflare",
        "cloudflare",
        "@cf/meta/llama-3.1-8b-instruct",
        "listed",
        "/client/v4/accounts/a/ai/v1/chat/completions",
    ),
    _chat("Writer", "writer", "palmyra-x5", "unpriced", "/v1/chat"),
    _chat("Portkey's stored prompts", "openai", "gpt-4o-mini", path="/v1/prompts/pp-1/completions"),
    _chat("vLLM", "vllm", "meta-llama/Llama-3.2-1B-Instruct", "unpriced", remark=_OWN),
    _chat("SGLang", "sglang", "meta-llama/Llama-3.2-1B-Instruct", "unpriced", remark=_OWN),
    _chat("llama.cpp", "llama.cpp", "m", "unpriced", remark=_OWN),
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *_CHAT,
    Endpoint(
        "fill-in-the-middle, agents",
        "Mistral",
        replayed(
            "/v1/fim/completions",
            {"model": "codestral-latest", "prompt": "def f", "suffix": "return"},
            _completion("codestral-latest"),
            provider="mistral_ai",
        ),
        ("chat",),
        _TOKENS,
        "listed",
        streams=True,
    ),
    Endpoint(
        "completions",
        "OpenAI",
        recorded("openai:test_completions/test_async_completion#0"),
        ("text_completion",),
        {"InputTokens": 8, "OutputTokens": 16},
        "listed",
        streams=True,
        source="recorded",
        recording="openai:test_completions/test_async_completion#0",
    ),
    Endpoint(
        "completions",
        "Writer",
        sampled("completions of writer tell no reason", "completions of writer, streamed", provider="writer"),
        ("text_completion",),
        {"InputTokens": 8, "OutputTokens": 1},
        "unpriced",
        streams=True,
        remark="no tokens are told: estimated",
    ),
    Endpoint(
        "Responses",
        "OpenAI",
        recorded("openai:genai_openai/responses_multimodal_conformance#0"),
        ("chat",),
        {"InputTokens": 268, "OutputTokens": 13},
        "listed",
        streams=True,
        source="recorded",
        recording="openai:genai_openai/responses_multimodal_conformance#0",
    ),
    Endpoint(
        "Responses in the background",
        "OpenAI",
        in_turn(
            sampled("a Responses call in the background"),
            *(
                replayed(
                    "/v1/responses/resp_2",
                    None,
                    {
                        "id": "resp_2",
                        "status": "completed",
                        "model": "gpt-4o-mini",
                        "background": True,
                        "output": [],
                        "usage": {"input_tokens": 12, "output_tokens": 5},
                    },
                    method="GET",
                )
                for _ in range(2)
            ),
        ),
        ("chat", "create_response", "fetch_response"),
        _TOKENS,
        "listed",
        remark="counts once, however often it is fetched",
    ),
    Endpoint(
        "assistants' runs",
        "OpenAI",
        in_turn(
            *(
                recorded(f"openai:test_assistant/test_existing_assistant#{number}")
                for number in (2, 3, 17, 17)
            )
        ),
        ("chat", "fetch_response", "fetch_response", "invoke_agent"),
        {"InputTokens": 381, "OutputTokens": 88},
        "listed",
        source="recorded",
        recording="openai:test_assistant/test_existing_assistant#17",
        remark="the poll that finds it finished counts",
    ),
    Endpoint(
        "messages",
        "Anthropic",
        recorded("anthropic:genai_anthropic/inference_conformance#0"),
        ("chat",),
        {"InputTokens": 13, "OutputTokens": 5},
        "listed",
        streams=True,
        source="recorded",
        recording="anthropic:genai_anthropic/inference_conformance#0",
    ),
    Endpoint(
        "messages",
        "Vertex AI",
        replayed(
            "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5:rawPredict",
            {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": _ASKED},
            {
                "id": "msg_1",
                "type": "message",
                "model": "claude-sonnet-4-5",
                "content": [{"type": "text", "text": "Hi"}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 12, "output_tokens": 5},
            },
        ),
        ("chat",),
        _TOKENS,
        "listed",
        streams=True,
    ),
    Endpoint(
        "text completions (`/v1/complete`)",
        "Anthropic",
        sampled("anthropic's first API", "anthropic's first API, streamed", model="claude-2.1"),
        ("text_completion",),
        {"InputTokens": 8, "OutputTokens": 1},
        "listed",
        streams=True,
        remark="no tokens are told: estimated",
    ),
    Endpoint(
        "generateContent",
        "Gemini API",
        recorded("google:google_genai/generate_content_conformance#0"),
        ("generate_content",),
        {"InputTokens": 6, "OutputTokens": 25, "ReasoningTokens": 20},
        "listed",
        streams=True,
        source="recorded",
        recording="google:google_genai/generate_content_conformance#0",
    ),
    Endpoint(
        "generateContent",
        "Vertex AI",
        replayed(
            "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
            {
                "candidates": [
                    {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
                ],
                "modelVersion": "gemini-2.5-flash",
                "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 5},
            },
        ),
        ("generate_content",),
        _TOKENS,
        "listed",
        streams=True,
    ),
    Endpoint(
        "interactions",
        "Gemini API",
        recorded("google:google_genai/inference_conformance#0"),
        ("generate_content",),
        {"InputTokens": 10, "OutputTokens": 967, "ReasoningTokens": 792},
        "listed",
        streams=True,
        source="recorded",
        recording="google:google_genai/inference_conformance#0",
    ),
    Endpoint(
        "chat (v2)",
        "Cohere",
        replayed(
            "/v2/chat",
            {"model": "command-r-plus", "messages": _ASKED},
            {
                "id": "c",
                "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
                "usage": {"billed_units": {"input_tokens": 12, "output_tokens": 5}},
            },
        ),
        ("chat",),
        _TOKENS,
        "listed",
        streams=True,
    ),
    Endpoint(
        "chat, generate",
        "Ollama",
        replayed(
            "/api/chat",
            {"model": "m", "messages": _ASKED},
            {
                "model": "m",
                "message": {"role": "assistant", "content": "Hi"},
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 12,
                "eval_count": 5,
            },
        ),
        ("chat",),
        _TOKENS,
        "unpriced",
        streams=True,
        remark=_OWN,
    ),
    Endpoint(
        "text generation",
        "Hugging Face, TGI",
        replayed(
            "/generate",
            {"inputs": "Hi", "parameters": {"details": True}},
            {
                "generated_text": "Hi",
                "details": {"finish_reason": "length", "generated_tokens": 5, "input_length": 12},
            },
            [
                {"token": {"text": "Hi", "special": False}, "generated_text": None},
                {
                    "token": {"text": "", "special": False},
                    "generated_text": "Hi",
                    "details": {"finish_reason": "length", "generated_tokens": 5, "input_length": 12},
                },
            ],
        ),
        ("text_completion",),
        _TOKENS,
        "unpriced",
        streams=True,
        remark=_OWN,
    ),
    Endpoint(
        "own generation (`/generate`)",
        "SGLang",
        sampled("generation of sglang", "generation of sglang, streamed"),
        ("text_completion",),
        {"InputTokens": 3, "CacheReadTokens": 1, "OutputTokens": 5},
        "unpriced",
        remark=_OWN,
    ),
)
