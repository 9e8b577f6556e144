"""Calls of models that neither read nor write tokens."""

from __future__ import annotations

from typing import Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .format import Translation

#: The tier of capacity that is paid whether it is used or not.
RESERVED: Final = "reserved"


def without_tokens() -> Translation:
    """The beginning of a translation of such a request. That there are no tokens is told, not unknown: so a
    price by the request, or a fixed line, holds."""
    none: dict[str, AttributeValue] = {semconv.USAGE_INPUT_TOKENS: 0, semconv.USAGE_OUTPUT_TOKENS: 0}
    return Translation({semconv.OPERATION_NAME: semconv.PREDICT_OPERATION, **none})
