"""Retries of one call: a client that tries again makes several requests, and the last one is the call.

A client says itself that it sends a request again. A loop of the program's own (Tenacity) does not: there, an
equal request in the same context and under the same parent, within `RETRY_WINDOW_SECONDS` of a failed one,
repeats it. The later span links to the earlier one, which is marked as not counted where it can still be; the
collector does the rest.

A failed request that its client may repeat is held back for a moment, so that it can be marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, Protocol

from opentelemetry.trace import SpanContext

from llmtrace.common.retry_rules import RETRY_WINDOW_SECONDS

_RETRYABLE: Final = frozenset({408, 409, 429})
_STAINLESS: Final = "x-stainless-retry-count"
_AWS: Final = "amz-sdk-request"

_LONG: Final = 4 * 1024 * 1024
_ENDS: Final = 64 * 1024
HELD_SECONDS: Final = 10.0
"""Provider libraries wait at most 8 seconds, unless the server names a longer time."""


class Retry:
    """One request, as the next one in the same context sees it. Holds nothing of the request itself."""

    __slots__ = (
        "context",
        "digest",
        "ended_at",
        "failed",
        "is_retryable",
        "parent",
        "recorded_elsewhere",
        "started_at",
        "superseded",
    )

    def __init__(self, context: SpanContext, parent: SpanContext | None, started_at: int) -> None:
        """parent: what the program's call lies below. started_at: nanoseconds since 1970."""
        self.context = context
        self.started_at = started_at
        self.parent = 0 if parent is None else parent.span_id
        self.ended_at = 0
        """Nanoseconds since 1970; 0 while it runs."""
        self.failed = False
        """Ended with an error."""
        self.digest = 0
        """Of a failed request: equal for equal ones, in this process alone."""
        self.is_retryable = False
        """Ended in a way that clients try again after."""
        self.superseded = False
        self.recorded_elsewhere = False
        """Another library's record of it was seen."""

    def fail(self, path: str, body: bytes) -> None:
        """Note that it ended with an error, and which request it was."""
        self.failed, self.digest = True, digest(path, body)

    def may_repeat(self, previous: Retry | None) -> bool:
        """Whether this request, which begins now, can be another attempt at the one before."""
        if previous is None or not previous.ended_at or previous.parent != self.parent:
            return False
        return self.started_at - previous.ended_at <= RETRY_WINDOW_SECONDS * 1e9


last: ContextVar[Retry | None] = ContextVar("llmtrace-last-call", default=None)
"""The last LLM call begun in this context (also what `score` means outside any span)."""


def digest(path: str, body: bytes) -> int:
    """A number that equal requests share, in this process alone; never 0."""
    if len(body) > _LONG:  # an upload, which would take its time
        return hash((path, len(body), bytes(body[:_ENDS]), bytes(body[-_ENDS:]))) or 1
    return hash((path, bytes(body))) or 1


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


class Request(Protocol):
    """What is compared of a request; the body only with one that failed."""

    @property
    def path(self) -> str: ...

    @property
    def body(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


def repeated(retry: Retry, request: Request) -> Retry | None:
    """The request that may be repeated by this one, which begins now. Where that is certain, it no longer
    counts; where its answer is not read yet, `is_repetition` tells later.
    """
    previous = last.get()
    if previous is None:
        return None
    if resend_count(request.headers):
        if not previous.is_retryable:
            return None
        previous.superseded = True
        return previous
    if not retry.may_repeat(previous):
        return None
    if previous.failed:
        if previous.digest != digest(request.path, request.body):
            return None
        previous.superseded = True
    return previous


def is_repetition(previous: Retry, path: str, body: bytes) -> bool:
    """Whether what `repeated` returned is repeated, now that both have ended."""
    return previous.failed and previous.digest == digest(path, body)
