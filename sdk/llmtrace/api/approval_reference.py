"""The text by which a decision finds the approval that asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote, unquote

from opentelemetry.trace import SpanContext, TraceFlags

_FORM: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})-([0-9]{1,19})-(.*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApprovalReference:
    """span: the step that asked. asked_at: nanoseconds since 1970. act: what is to be decided on."""

    span: SpanContext
    asked_at: int
    act: str

    def __str__(self) -> str:
        """Printable ASCII without blanks."""
        ids = f"{self.span.trace_id:032x}-{self.span.span_id:016x}-{int(self.span.trace_flags):02x}"
        return f"{ids}-{self.asked_at}-{quote(self.act, safe='')}"

    @classmethod
    def read(cls, text: object) -> Self | None:
        """What such a text says; None for another."""
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            return None
        trace_id, span_id, flags, asked_at, act = match.groups()
        span = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
        return cls(span, int(asked_at), unquote(act)) if span.is_valid else None
