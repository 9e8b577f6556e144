"""What the OpenAI APIs and those like them share: request parameters, token usage, Azure's paths."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import Json, between, either, items, mapping, put_int, put_text, word
from llmtrace.wire.request_params import put_request_params

OUTPUT_TYPES: Final = {"text": "text", "json_object": "json", "json_schema": "json"}
AZURE: Final = "azure.ai.openai"


def put_model(attributes: dict[str, AttributeValue], payload: Any, path: str) -> None:
    """The request's model, in Azure's paths the deployment (which also gives Azure away)."""
    deployment = between(path, "/deployments/")
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model") or deployment)
    if deployment and "/openai/" in path:
        attributes[semconv.PROVIDER_NAME] = AZURE


def put_completion(attributes: dict[str, AttributeValue], payload: Any) -> None:
    """All parameters of chat and text completions."""
    put_request_params(attributes, payload)
    put_format(attributes, payload.get("response_format"))
    put_common(attributes, payload)


def put_common(attributes: dict[str, AttributeValue], payload: Any) -> None:
    """Streaming, service tier and user: the same in every OpenAI API."""
    if payload.get("stream") is True:
        attributes[semconv.REQUEST_STREAM] = True
    if payload.get("service_tier") != "auto":
        put_text(attributes, semconv.OPENAI_REQUEST_SERVICE_TIER, payload.get("service_tier"))
    put_text(attributes, semconv.USER_ID, payload.get("safety_identifier") or payload.get("user"))


def put_format(attributes: dict[str, AttributeValue], response_format: Json) -> None:
    """The output type from a `response_format`."""
    kind = word(mapping(response_format), "type")
    if kind in OUTPUT_TYPES:
        attributes[semconv.OUTPUT_TYPE] = OUTPUT_TYPES[kind]


def put_head(attributes: dict[str, AttributeValue], payload: Any) -> None:
    """Id, model, tier and fingerprint of a response."""
    put_text(attributes, semconv.RESPONSE_ID, payload.get("id"))
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_text(attributes, semconv.OPENAI_RESPONSE_SERVICE_TIER, payload.get("service_tier"))
    put_text(attributes, semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT, payload.get("system_fingerprint"))
    if payload.get("system_fingerprint") == "fp_ollama":  # the one compatible server that names itself
        attributes[semconv.PROVIDER_NAME] = "ollama"


def put_choices(attributes: dict[str, AttributeValue], payload: Any) -> list[Any]:
    """Head, usage and finish reasons of a completion; gives its choices."""
    put_head(attributes, payload)
    put_usage(attributes, mapping(payload.get("usage")))
    choices = [mapping(choice) for choice in items(payload.get("choices"))]
    if choices:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(choice.get("finish_reason")) for choice in choices
        ]
    return choices


def put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """Usage as chat, text completions, embeddings and runs count it (`prompt_tokens`, …)."""
    prompt_details = mapping(usage.get("prompt_tokens_details")) or mapping(usage.get("prompt_token_details"))
    completion_details = mapping(usage.get("completion_tokens_details"))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("prompt_tokens"))
    put_int(
        attributes,
        semconv.USAGE_OUTPUT_TOKENS,
        _output_tokens(usage, completion_details.get("reasoning_tokens")),
    )
    cached = prompt_details.get("cached_tokens")
    if cached is None:  # DeepSeek, Moonshot and vLLM count cache hits outside the details
        cached = either(usage, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, cached)
    put_int(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, prompt_details.get("cache_write_tokens"))
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, completion_details.get("reasoning_tokens"))
    put_int(attributes, semconv.USAGE_IMAGE_INPUT_TOKENS, prompt_details.get("image_tokens") or None)
    put_int(attributes, semconv.USAGE_AUDIO_INPUT_TOKENS, prompt_details.get("audio_tokens") or None)
    put_int(attributes, semconv.USAGE_AUDIO_OUTPUT_TOKENS, completion_details.get("audio_tokens") or None)


def put_newer_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """Usage as the newer endpoints report it (Responses, images)."""
    input_details, output_details = (
        mapping(usage.get("input_tokens_details")),
        mapping(usage.get("output_tokens_details")),
    )
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("input_tokens"))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, usage.get("output_tokens"))
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, input_details.get("cached_tokens"))
    put_int(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, input_details.get("cache_write_tokens"))
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, output_details.get("reasoning_tokens"))
    put_int(attributes, semconv.USAGE_TEXT_INPUT_TOKENS, input_details.get("text_tokens"))
    put_int(attributes, semconv.USAGE_IMAGE_INPUT_TOKENS, input_details.get("image_tokens"))
    put_int(attributes, semconv.USAGE_AUDIO_INPUT_TOKENS, input_details.get("audio_tokens"))
    put_int(attributes, semconv.USAGE_TEXT_OUTPUT_TOKENS, output_details.get("text_tokens"))
    put_int(attributes, semconv.USAGE_IMAGE_OUTPUT_TOKENS, output_details.get("image_tokens"))
    put_int(attributes, semconv.USAGE_AUDIO_OUTPUT_TOKENS, output_details.get("audio_tokens"))


def _output_tokens(usage: Any, reasoning: Json) -> Json:
    """Output including reasoning: xAI reports the two side by side, which its own total gives away."""
    prompt, completion, total = (
        usage.get(key) for key in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    if (
        type(reasoning) is int
        and reasoning > 0
        and type(prompt) is type(completion) is int
        and prompt + completion + reasoning == total
    ):
        return completion + reasoning
    return completion
