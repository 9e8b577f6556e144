"""The span of one result of a batch: the call that a model answered hours before the result is read.

Its ids are made of what names the result, and its time is that of the answer. So whoever reads the result
again, in another process or weeks later, makes the same span, and the collector counts it once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from .runtime import Runtime

_SALT = b"llmtrace batch result\0"


class ResultSpan:
    """See `LlmSpan`. It is built in one piece, and not handed to the program's own exporters: those have no
    way to take a span whose ids are not theirs.
    """

    __slots__ = ("_inner", "_runtime", "_time", "context", "initial_attributes", "parent", "recording")

    def __init__(
        self, runtime: Runtime, identity: str, time: int, initial_attributes: Mapping[str, AttributeValue]
    ) -> None:
        """identity: what names the result, whoever reads it. time: nanoseconds since 1970."""
        self._runtime = runtime
        self._time = time
        self._inner = 0
        self.initial_attributes = initial_attributes
        self.parent: SpanContext | None = None
        self.recording = True
        self.context = _context(identity)

    def finish(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue],
        status: Status,
        end: int,
        *,
        retry_of: SpanContext | None = None,
    ) -> Sequence[ReadableSpan]:
        return (self._ended(name, self.context, None, attributes, status),)

    def finish_inner(
        self, name: str, attributes: Mapping[str, AttributeValue], end: int
    ) -> Sequence[ReadableSpan]:
        self._inner += 1
        of_inner = _context(f"{self.context.span_id:x}\0{self._inner}")
        context = SpanContext(self.context.trace_id, of_inner.span_id, False, self.context.trace_flags)
        return (self._ended(name, context, self.context, attributes, Status(StatusCode.UNSET)),)

    def _ended(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Mapping[str, AttributeValue],
        status: Status,
    ) -> ReadableSpan:
        # How long the model took nobody says.
        return ReadableSpan(
            name,
            context,
            parent,
            getattr(self._runtime.provider, "resource", None) or Resource.get_empty(),
            {**self.initial_attributes, **attributes},
            kind=SpanKind.CLIENT,
            status=status,
            start_time=self._time,
            end_time=self._time,
            instrumentation_scope=self._runtime.scope,
        )


def _context(identity: str) -> SpanContext:
    digest = hashlib.sha256(_SALT + identity.encode("utf-8", "surrogatepass")).digest()
    return SpanContext(
        int.from_bytes(digest[:16]) or 1,
        int.from_bytes(digest[16:24]) or 1,
        False,
        TraceFlags(TraceFlags.SAMPLED),
    )
