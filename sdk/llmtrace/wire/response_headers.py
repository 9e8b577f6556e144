"""What providers say in response headers: which request it was, how much is left, what it used."""

from __future__ import annotations

import hashlib
import re
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
#: Request headers that carry an API key.
KEY_HEADERS: Final = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
_ORGANISATIONS: Final = ("openai-organization", "anthropic-organization-id")
_AWS_CREDENTIAL: Final = re.compile(r"Credential=(\w+)/")
#: Headers in which gateways (Cloudflare, Helicone, Portkey) say whether their cache answered.
_CACHES: Final = ("cf-aig-cache-status", "helicone-cache", "x-portkey-cache-status")
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
    if any(headers.get(name, "").lower() == "hit" for name in _CACHES):
        attributes[semconv.RESPONSE_CACHE_HIT] = True
    if value := headers.get("retry-after"):
        attributes[f"{semconv.RATE_LIMIT}.retry_after"] = value
    return attributes


def account(request_headers: Mapping[str, str], response_headers: Mapping[str, str]) -> str | None:
    """A mark that stays the same for calls of one API key, else of one organisation; not to be turned back.

    Tokens that change by the hour (OAuth) say nothing about whose call it is.
    """
    for name in KEY_HEADERS:
        value = request_headers.get(name) or ""
        if credential := _AWS_CREDENTIAL.search(value):
            return f"key-{_mark(credential[1])}"
        key = value.removeprefix("Bearer ").strip()
        if key and not key.startswith(("ya29.", "eyJ", "Basic ", "AWS4")):
            return f"key-{_mark(key)}"
    for name in _ORGANISATIONS:
        if organisation := response_headers.get(name):
            return f"org-{_mark(organisation)}"
    return None


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
