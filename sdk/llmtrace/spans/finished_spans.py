"""Finished spans are immutable: a changed one is a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue

SCOPE: Final = "llmtrace"


def copied(
    span: ReadableSpan,
    *,
    attributes: Mapping[str, AttributeValue] | None = None,
    events: Sequence[Event] | None = None,
    description: str | None = None,
) -> ReadableSpan:
    """The span with other attributes, events and status description (None: without them)."""
    return ReadableSpan(
        span.name,
        span.get_span_context(),
        span.parent,
        span.resource,
        attributes,
        events or (),
        span.links,
        span.kind,
        status=Status(span.status.status_code, description),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def is_ours(span: ReadableSpan) -> bool:
    """Whether this package made it."""
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == SCOPE


def duration(span: ReadableSpan) -> float:
    """Seconds."""
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def is_local_root(span: ReadableSpan) -> bool:
    """Whether it has no parent in this process."""
    return span.parent is None or span.parent.is_remote
