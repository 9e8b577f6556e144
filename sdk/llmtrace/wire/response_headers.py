"""What providers say in response headers: which request it was, how much is left, what it used."""

from __future__ import annotations

import math
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
_KINDS: Final = ("limit", "remaining", "reset", "utilization")
_MAX_LIMITS: Final = 24
# How much of its provisioned capacity a deployment uses: Azure's word for it, in percent.
_DEPLOYMENT_UTILIZATION: Final = "azure-openai-deployment-utilization"
_REGIONS: Final = ("x-ms-region", "x-groq-region")
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
    """Request id, region and rate limits as attributes.

    `llmtrace.ratelimit.{requests,tokens,…}.{limit,remaining}` are integers where they are whole numbers,
    `.utilization` is a share (0 to 1, more where capacity is exceeded); `.reset` and
    `llmtrace.ratelimit.retry_after` stay as the provider wrote them.
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
                attributes[key] = _share(value) if kind == "utilization" else _number(value, kind)
    if value := headers.get(_DEPLOYMENT_UTILIZATION):
        attributes[f"{semconv.RATE_LIMIT}.deployment.utilization"] = _share(value)
    for name in _REGIONS:
        if value := headers.get(name):
            attributes[semconv.RESPONSE_REGION] = value
            break
    if tier := headers.get("x-amzn-bedrock-service-tier"):
        attributes[semconv.RESPONSE_SERVICE_TIER] = tier
    if value := headers.get("retry-after"):
        attributes[f"{semconv.RATE_LIMIT}.retry_after"] = value
    return attributes


def _number(value: str, kind: str) -> AttributeValue:
    return int(value) if kind != "reset" and value.isdecimal() else value


def _share(value: str) -> AttributeValue:
    """A share as a number: `87.5%` and `0.875` are the same; what is neither stays as it is."""
    digits = value.strip().removesuffix("%")
    try:
        number = float(digits)
    except ValueError:
        return value
    if not math.isfinite(number):
        return value
    return number / 100 if value.strip().endswith("%") else number


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
