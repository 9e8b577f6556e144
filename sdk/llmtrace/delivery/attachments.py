"""The bytes of images and audio, which follow the span that tells of them: log records of their own.

Where the span is not sent (it was sampled out, or its provider drops it), neither are they. Used by the
delivery thread alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.common.media import SHOWN_TYPES, Media, sniffed

from .exporter import LogRecord

_HELD_BYTES: Final = 32 * 2**20
_REMEMBERED: Final = 4096


class Attachments:
    """What waits for its span to be sent. A digest is sent once for each trace: conversations repeat them."""

    def __init__(self, longest: int) -> None:
        """longest: bytes of one; 0: none is sent."""
        self._longest = longest
        self._waiting: OrderedDict[tuple[int, int], list[Media]] = OrderedDict()
        self._size = 0
        self._sent: OrderedDict[tuple[int, str], None] = OrderedDict()

    def note(self, span: SpanContext, media_of_span: Iterable[Media]) -> None:
        """Hold what a span's messages showed: pictures and sound that a browser can show, by their own bytes.

        Where too many wait, the oldest are left out: their digests are on their spans.
        """
        if not self._longest:
            return
        wanted = [media for media in media_of_span if self._is_wanted(media)]
        if not wanted:
            return
        self._waiting[span.trace_id, span.span_id] = wanted
        self._size += sum(media.size for media in wanted)
        while self._size > _HELD_BYTES:
            _, left_out = self._waiting.popitem(last=False)
            self._size -= sum(media.size for media in left_out)

    def of(self, spans: Sequence[ReadableSpan]) -> list[LogRecord]:
        """The records of spans that were just sent."""
        records: list[LogRecord] = []
        for span in spans if self._waiting else ():
            context = span.get_span_context()
            if context is None:
                continue
            held = self._waiting.pop((context.trace_id, context.span_id), ())
            self._size -= sum(media.size for media in held)
            for media in held:
                if self._is_new(context.trace_id, media.sha256):
                    records.append(_record(context, span.end_time or 0, media))
        return records

    def _is_wanted(self, media: Media) -> bool:
        return 0 < media.size <= self._longest and sniffed(media.data) in SHOWN_TYPES

    def _is_new(self, trace_id: int, digest: str) -> bool:
        key = trace_id, digest
        if key in self._sent:
            return False
        self._sent[key] = None
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        return True


def _record(span: SpanContext, time: int, media: Media) -> LogRecord:
    attributes: dict[str, AttributeValue] = {
        semconv.ATTACHMENT_SHA256: media.sha256,
        semconv.ATTACHMENT_MEDIA_TYPE: sniffed(media.data),
        semconv.ATTACHMENT_SIZE: media.size,
    }
    return LogRecord(time, semconv.ATTACHMENT_EVENT, span.trace_id, span.span_id, attributes, body=media.data)
