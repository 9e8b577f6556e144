"""Amazon Bedrock guardrails by themselves: `POST /guardrail/{id}/version/{version}/apply`.

Each policy is billed by the unit of text that it was applied to.
"""

from __future__ import annotations

from typing import Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, between, items, mapping, put_text, whole
from llmtrace.wire.without_tokens import without_tokens


def matches(path: str, body: bytes) -> bool:
    """By the place of the guardrail in the path."""
    return "/guardrail/" in path and b'"content"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the guardrail stands for the model."""
    payload = mapping(body)
    translation = without_tokens()
    attributes = translation.attributes
    guardrail = between(path, "/guardrail/")
    put_text(attributes, semconv.REQUEST_MODEL, guardrail)
    put_text(attributes, semconv.AWS_BEDROCK_GUARDRAIL_ID, guardrail)
    if content:
        role = "assistant" if payload.get("source") == "OUTPUT" else "user"
        texts = [mapping(mapping(block).get("text")).get("text") for block in items(payload.get("content"))]
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message(role, [message_parts.text(text) for text in texts if text is not None])
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; what it has to say in place of a text is the answer."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    # Filters of words are told too, and free; images are counted apart.
    units = [
        count
        for name, count in mapping(payload.get("usage")).items()
        if name.endswith("PolicyUnits") and name != "wordPolicyUnits" and type(count) is int
    ]
    if units:
        attributes[semconv.USAGE_GUARDRAIL_UNITS] = sum(units)
    if payload.get("action") == "GUARDRAIL_INTERVENED":
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["content_filter"]
    outputs = [mapping(output).get("text") for output in items(payload.get("outputs"))]
    if content and outputs:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(text)]) for text in outputs
        ]
    return translation


FORMAT: Final = WireFormat(
    provider=semconv.PROVIDER_AWS_BEDROCK,
    operation=semconv.PREDICT_OPERATION,
    endings=("apply",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)
