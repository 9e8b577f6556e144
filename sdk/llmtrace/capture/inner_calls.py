"""The spans of the models that a provider called inside a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire.format import InnerCall

from .llm_span import LlmSpan

#: What a call within has of the call around it.
_OF_INNER_CALLS: Final = (
    semconv.PROVIDER_NAME,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
    semconv.ACCOUNT,
    semconv.USER_ID,
    semconv.COUNTED,
    semconv.RESPONSE_SERVICE_TIER,
    semconv.ANTHROPIC_RESPONSE_SERVICE_TIER,
    semconv.OPENAI_RESPONSE_SERVICE_TIER,
)


def finish_inner_calls(
    span: LlmSpan, inner_calls: Iterable[InnerCall], attributes: Mapping[str, AttributeValue], end: int
) -> Sequence[ReadableSpan]:
    """A span for each below the call's, which has `attributes` and ends at `end` (nanoseconds since 1970):
    within it, nobody says when.
    """
    whose = {key: attributes[key] for key in _OF_INNER_CALLS if key in attributes}
    spans: list[ReadableSpan] = []
    for inner_call in inner_calls:
        inner_attributes = {
            **whose,
            semconv.OPERATION_NAME: inner_call.operation,
            semconv.INNER_CALL: inner_call.kind,
            **inner_call.attributes,
        }
        model = inner_call.attributes.get(semconv.REQUEST_MODEL, "")
        spans += span.finish_inner(f"{inner_call.operation} {model}".strip(), inner_attributes, end)
    return spans
