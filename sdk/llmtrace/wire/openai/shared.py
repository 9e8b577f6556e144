"""What the OpenAI APIs and those like them share: request parameters, token usage, Azure's paths."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.finish_reasons import finish_reason
from llmtrace.wire.format import (
    Json,
    between,
    count_of,
    either,
    items,
    mapping,
    parsed,
    put_int,
    put_text,
    word,
)
from llmtrace.wire.request_params import put_request_params

OUTPUT_TYPES: Final = {"text": "text", "json_object": "json", "json_schema": "json"}


def put_model(attributes: dict[str, AttributeValue], payload: Any, path: str) -> None:
    """The request's model, in Azure's paths the deployment."""
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("model") or between(path, "/deployments/"))


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


_NUMBERS: Final = frozenset({"n", "temperature", "stream", "seed"})


def of_form(fields: Any) -> dict[str, Json]:
    """The fields of a form, in which all is text, as a JSON request has them."""
    return {
        name: parsed(value.lower()) if name in _NUMBERS and isinstance(value, str) else value
        for name, value in fields.items()
    }


def is_billed_by_tokens(model: Json) -> bool:
    """Whether a model of pictures or speech is surely not billed by pieces, whatever its answer tells."""
    return isinstance(model, str) and model.startswith(("gpt-", "chatgpt-"))


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


def put_choices(attributes: dict[str, AttributeValue], payload: Any) -> list[Any]:
    """Head, usage and finish reasons of a completion; gives its choices."""
    put_head(attributes, payload)
    put_usage(attributes, usage_of(payload))
    choices = [mapping(choice) for choice in items(payload.get("choices"))]
    if choices:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(choice.get("finish_reason") or choice.get("stop_reason")) for choice in choices
        ]
    return choices


def usage_of(body: Any) -> Any:
    """Usage of a body or of a chunk: its own, else what Groq keeps under a key of its own, or Moonshot in the
    last chunk's choice."""
    if usage := mapping(body.get("usage")) or mapping(mapping(body.get("x_groq")).get("usage")):
        return usage
    of_choices = (mapping(mapping(choice).get("usage")) for choice in items(body.get("choices")))
    return next(filter(None, of_choices), {})


def put_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """Usage as chat, text completions, embeddings and runs count it (`prompt_tokens`, …)."""
    prompt_details = mapping(usage.get("prompt_tokens_details")) or mapping(usage.get("prompt_token_details"))
    completion_details = mapping(usage.get("completion_tokens_details"))
    output, reasoning = _output(usage, completion_details.get("reasoning_tokens"))
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, usage.get("prompt_tokens"))
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, output)
    cached = prompt_details.get("cached_tokens")
    if cached is None:  # DeepSeek, Moonshot and vLLM count cache hits outside the details
        cached = either(usage, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, cached)
    put_int(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, prompt_details.get("cache_write_tokens"))
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, reasoning)
    put_int(attributes, semconv.USAGE_CITATION_TOKENS, usage.get("citation_tokens") or None)
    put_int(attributes, semconv.USAGE_IMAGE_INPUT_TOKENS, prompt_details.get("image_tokens") or None)
    put_int(attributes, semconv.USAGE_AUDIO_INPUT_TOKENS, prompt_details.get("audio_tokens") or None)
    put_int(attributes, semconv.USAGE_VIDEO_INPUT_TOKENS, prompt_details.get("video_tokens") or None)
    put_int(attributes, semconv.USAGE_AUDIO_OUTPUT_TOKENS, completion_details.get("audio_tokens") or None)
    put_int(attributes, semconv.USAGE_IMAGE_OUTPUT_TOKENS, completion_details.get("image_tokens") or None)
    put_int(attributes, semconv.USAGE_WEB_SEARCHES, _searches(usage) or None)


def put_newer_usage(attributes: dict[str, AttributeValue], usage: Any) -> None:
    """Usage as the newer endpoints report it (Responses, images)."""
    input_details, output_details = (
        mapping(usage.get("input_tokens_details")),
        mapping(usage.get("output_tokens_details")),
    )
    sent = usage.get("input_tokens")
    output, reasoning = _by_total(
        sent, usage.get("output_tokens"), usage.get("total_tokens"), output_details.get("reasoning_tokens")
    )
    put_int(attributes, semconv.USAGE_INPUT_TOKENS, sent)
    put_int(attributes, semconv.USAGE_OUTPUT_TOKENS, output)
    cached = either(input_details, "cached_tokens", "cache_read_input_tokens")
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, cached)
    written = either(input_details, "cache_write_tokens", "cache_creation_input_tokens")
    put_int(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, written)
    searches = mapping(mapping(usage.get("tool_calls_details")).get("search_web")).get("invocation")
    put_int(attributes, semconv.USAGE_WEB_SEARCHES, searches or None)
    put_int(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, reasoning)
    put_int(attributes, semconv.USAGE_TEXT_INPUT_TOKENS, input_details.get("text_tokens"))
    put_int(attributes, semconv.USAGE_IMAGE_INPUT_TOKENS, input_details.get("image_tokens"))
    put_int(attributes, semconv.USAGE_AUDIO_INPUT_TOKENS, input_details.get("audio_tokens"))
    put_int(attributes, semconv.USAGE_TEXT_OUTPUT_TOKENS, output_details.get("text_tokens"))
    put_int(attributes, semconv.USAGE_IMAGE_OUTPUT_TOKENS, output_details.get("image_tokens"))
    put_int(attributes, semconv.USAGE_AUDIO_OUTPUT_TOKENS, output_details.get("audio_tokens"))


def _searches(usage: Any) -> int:
    """Searches of the web: Perplexity's queries, and those that OpenRouter ran as a tool."""
    tools = mapping(usage.get("server_tool_use_details")) or mapping(usage.get("server_tool_use"))
    counts = usage.get("num_search_queries"), tools.get("web_search_requests")
    return next(filter(None, map(count_of, counts)), 0)


def _output(usage: Any, reasoning: Json) -> tuple[Json, Json]:
    """Output, and what of it was reasoning. Perplexity reports reasoning and citations apart from the
    completion, and leaves both out of its total."""
    completion = usage.get("completion_tokens")
    apart = count_of(usage.get("reasoning_tokens")), count_of(usage.get("citation_tokens"))
    if reasoning is None and any(apart) and type(completion) is int:
        return completion + sum(apart), apart[0]
    return _by_total(usage.get("prompt_tokens"), completion, usage.get("total_tokens"), reasoning)


def _by_total(sent: Json, output: Json, total: Json, reasoning: Json) -> tuple[Json, Json]:
    """Output, and what of it was reasoning, by the total: what that has beyond input and output is reasoning.

    xAI reports reasoning apart from the completion, and Gemini does not report it at all.
    """
    if not (type(sent) is type(output) is type(total) is int) or total <= sent + output:
        return output, reasoning
    rest = total - sent - output
    counted = count_of(reasoning)
    return output + rest, rest if rest >= counted else counted + rest
