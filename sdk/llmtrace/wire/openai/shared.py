"""What the OpenAI APIs and those like them share: request settings, token usage, Azure's paths."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import Json, between, either, items, mapping, put_int, put_text, word
from llmtrace.wire.request_params import put_settings

OUTPUT_TYPES: Final = {"text": "text", "json_object": "json", "json_schema": "json"}
AZURE: Final = "azure.ai.openai"


def put_model(put: dict[str, AttributeValue], sent: Any, path: str) -> None:
    """The request's model, in Azure's paths the deployment (which also gives Azure away)."""
    deployment = between(path, "/deployments/")
    put_text(put, semconv.REQUEST_MODEL, sent.get("model") or deployment)
    if deployment and "/openai/" in path:
        put[semconv.PROVIDER_NAME] = AZURE


def put_completion(put: dict[str, AttributeValue], sent: Any) -> None:
    """All settings of chat and text completions."""
    put_settings(put, sent)
    put_format(put, sent.get("response_format"))
    put_common(put, sent)


def put_common(put: dict[str, AttributeValue], sent: Any) -> None:
    """Streaming, service tier and user: the same in every OpenAI API."""
    if sent.get("stream") is True:
        put[semconv.REQUEST_STREAM] = True
    if sent.get("service_tier") != "auto":
        put_text(put, semconv.OPENAI_REQUEST_SERVICE_TIER, sent.get("service_tier"))
    put_text(put, semconv.USER_ID, sent.get("safety_identifier") or sent.get("user"))


def put_format(put: dict[str, AttributeValue], wanted: Json) -> None:
    """The output type from a `response_format`."""
    kind = word(mapping(wanted), "type")
    if kind in OUTPUT_TYPES:
        put[semconv.OUTPUT_TYPE] = OUTPUT_TYPES[kind]


def put_head(put: dict[str, AttributeValue], received: Any) -> None:
    """Id, model, tier and fingerprint of a response."""
    put_text(put, semconv.RESPONSE_ID, received.get("id"))
    put_text(put, semconv.RESPONSE_MODEL, received.get("model"))
    put_text(put, semconv.OPENAI_RESPONSE_SERVICE_TIER, received.get("service_tier"))
    put_text(put, semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT, received.get("system_fingerprint"))
    if received.get("system_fingerprint") == "fp_ollama":  # the one compatible server that names itself
        put[semconv.PROVIDER_NAME] = "ollama"


def put_choices(put: dict[str, AttributeValue], received: Any) -> list[Any]:
    """Head, usage and finish reasons of a completion; gives its choices."""
    put_head(put, received)
    put_usage(put, mapping(received.get("usage")))
    choices = [mapping(each) for each in items(received.get("choices"))]
    if choices:
        put[semconv.RESPONSE_FINISH_REASONS] = [finish_reason(each.get("finish_reason")) for each in choices]
    return choices


def put_usage(put: dict[str, AttributeValue], usage: Any) -> None:
    """Usage as chat, text completions, embeddings and runs count it (`prompt_tokens`, …)."""
    details = mapping(usage.get("prompt_tokens_details")) or mapping(usage.get("prompt_token_details"))
    produced = mapping(usage.get("completion_tokens_details"))
    put_int(put, semconv.USAGE_INPUT_TOKENS, usage.get("prompt_tokens"))
    put_int(put, semconv.USAGE_OUTPUT_TOKENS, _output_tokens(usage, produced.get("reasoning_tokens")))
    cached = details.get("cached_tokens")
    if cached is None:  # DeepSeek, Moonshot and vLLM count cache hits beside the details
        cached = either(usage, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    put_int(put, semconv.USAGE_CACHE_READ_INPUT_TOKENS, cached)
    put_int(put, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, details.get("cache_write_tokens"))
    put_int(put, semconv.USAGE_REASONING_OUTPUT_TOKENS, produced.get("reasoning_tokens"))
    put_int(put, semconv.USAGE_IMAGE_INPUT_TOKENS, details.get("image_tokens") or None)
    put_int(put, semconv.USAGE_AUDIO_INPUT_TOKENS, details.get("audio_tokens") or None)
    put_int(put, semconv.USAGE_AUDIO_OUTPUT_TOKENS, produced.get("audio_tokens") or None)


def put_newer_usage(put: dict[str, AttributeValue], usage: Any) -> None:
    """Usage as the newer endpoints tell it (Responses, images)."""
    given, made = mapping(usage.get("input_tokens_details")), mapping(usage.get("output_tokens_details"))
    put_int(put, semconv.USAGE_INPUT_TOKENS, usage.get("input_tokens"))
    put_int(put, semconv.USAGE_OUTPUT_TOKENS, usage.get("output_tokens"))
    put_int(put, semconv.USAGE_CACHE_READ_INPUT_TOKENS, given.get("cached_tokens"))
    put_int(put, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, given.get("cache_write_tokens"))
    put_int(put, semconv.USAGE_REASONING_OUTPUT_TOKENS, made.get("reasoning_tokens"))
    put_int(put, semconv.USAGE_TEXT_INPUT_TOKENS, given.get("text_tokens"))
    put_int(put, semconv.USAGE_IMAGE_INPUT_TOKENS, given.get("image_tokens"))
    put_int(put, semconv.USAGE_AUDIO_INPUT_TOKENS, given.get("audio_tokens"))
    put_int(put, semconv.USAGE_TEXT_OUTPUT_TOKENS, made.get("text_tokens"))
    put_int(put, semconv.USAGE_IMAGE_OUTPUT_TOKENS, made.get("image_tokens"))
    put_int(put, semconv.USAGE_AUDIO_OUTPUT_TOKENS, made.get("audio_tokens"))


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
