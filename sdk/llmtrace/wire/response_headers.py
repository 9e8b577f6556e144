"""What providers say in response headers: which request it was, how much is left, what it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

_REQUEST_IDS: Final = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-goog-request-id",
)
_KINDS: Final = ("limit", "remaining", "reset")
_MAX_LIMITS: Final = 24
# Token counts of servers whose bodies need not have them (Bedrock InvokeModel, TGI).
_COUNTS: Final = {
    "x-amzn-bedrock-input-token-count": semconv.USAGE_INPUT_TOKENS,
    "x-prompt-tokens": semconv.USAGE_INPUT_TOKENS,
    "x-amzn-bedrock-output-token-count": semconv.USAGE_OUTPUT_TOKENS,
    "x-generated-tokens": semconv.USAGE_OUTPUT_TOKENS,
    "x-amzn-bedrock-cache-read-input-token-count": semconv.USAGE_CACHE_READ_INPUT_TOKENS,
    "x-amzn-bedrock-cache-write-input-token-count": semconv.USAGE_CACHE_WRITE_INPUT_TOKENS,
}


def described(headers: Mapping[str, str]) -> dict[str, AttributeValue]:
    """Request id and rate limits as attributes.

    `llmtrace.ratelimit.{requests,tokens,…}.{limit,remaining}` are integers where they are whole numbers;
    `.reset` and `llmtrace.ratelimit.retry_after` stay as the provider wrote them.
    """
    attributes: dict[str, AttributeValue] = {}
    for name in _REQUEST_IDS:
        if value := headers.get(name):
            attributes[semconv.REQUEST_ID] = value
            break
    for name, value in headers.items():
        lower = name.lower()
        if "ratelimit" in lower and len(attributes) < _MAX_LIMITS:
            subject = [word for word in lower.partition("ratelimit")[2].split("-") if word]
            kind = next((word for word in _KINDS if word in subject), None)
            if kind is not None:
                subject.remove(kind)
                key = ".".join((semconv.RATE_LIMIT, "_".join(subject) or "requests", kind))
                attributes[key] = int(value) if kind != "reset" and value.isdecimal() else value
    if tier := headers.get("x-amzn-bedrock-service-tier"):
        attributes[semconv.RESPONSE_SERVICE_TIER] = tier
    if value := headers.get("retry-after"):
        attributes[f"{semconv.RATE_LIMIT}.retry_after"] = value
    return attributes


def counts(headers: Mapping[str, str]) -> dict[str, int]:
    """Token counts given outside the body; the body's go first."""
    return {
        key: int(value)
        for name, key in _COUNTS.items()
        if (value := headers.get(name)) is not None and value.isdecimal()
    }


def error_type(headers: Mapping[str, str]) -> str | None:
    """AWS names the kind of an error here (`ValidationException:http://…`)."""
    return headers.get("x-amzn-errortype", "").partition(":")[0] or None
