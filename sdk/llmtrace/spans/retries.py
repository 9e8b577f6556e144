"""Retries of one call: a client that tries again makes several requests, and the last one is the call.

A failed request that its client may repeat is held back for a moment. If the repetition comes, the earlier
span says that it does not count, and the later one links to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from opentelemetry.trace import SpanContext

_RETRYABLE: Final = frozenset({408, 409, 429})
_STAINLESS: Final = "x-stainless-retry-count"
_AWS: Final = "amz-sdk-request"

HELD_SECONDS: Final = 10.0
"""Provider libraries wait at most 8 seconds, unless the server names a longer time."""


class Retry:
    """One request, as the next one in the same context sees it. Holds nothing of the request itself."""

    __slots__ = ("context", "failed", "recorded_elsewhere", "superseded")

    def __init__(self, context: SpanContext) -> None:
        self.context = context
        self.failed = False
        """Ended in a way that clients try again after."""
        self.superseded = False
        self.recorded_elsewhere = False
        """Another library's record of it was seen."""


last: ContextVar[Retry | None] = ContextVar("llmtrace-last-call", default=None)
"""The last LLM call begun in this context (also what `score` means outside any span)."""


def is_retryable(status: int | None) -> bool:
    """Whether clients try again after this status (None: no response came)."""
    return status is None or status in _RETRYABLE or status >= 500


def resend_count(headers: Mapping[str, str]) -> int | None:
    """How often its client sent a request before, from 0; None where it does not say."""
    count = headers.get(_STAINLESS)
    if count is not None:
        return int(count) if count.isdigit() else None
    _, separator, rest = (headers.get(_AWS) or "").partition("attempt=")
    attempt = rest.partition(";")[0].strip()
    return int(attempt) - 1 if separator and attempt.isdigit() else None


def supersede(headers: Mapping[str, str]) -> SpanContext | None:
    """The request that this one repeats, if it does; from then on that one no longer counts."""
    previous = last.get()
    if previous is None or not previous.failed or not resend_count(headers):
        return None
    previous.superseded = True
    return previous.context
