"""What is done with a batch: making it, asking how far it is, and fetching its results, which are calls.

A request for results costs its caller what any call does. Its answer goes to the delivery thread in parts
while it comes; there each line becomes a span. Only the answer says whether a file holds results at all, or a
path with `batches` in it belongs to a batch of models: until then nothing is begun.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.spans import context_attributes
from llmtrace.wire.batch_results import TRACED_HEADER, BatchFormat
from llmtrace.wire.format import Json, WireFormat
from llmtrace.wire.framing import decode

from . import content_encoding
from .batch_memory import memory_of
from .batch_results import BatchResults, decompressed
from .call import CapturedRequest, LlmCall
from .deferred_span import DeferredSpan
from .llm_span import LlmSpan
from .received_results import ReceivedResults
from .runtime import Runtime

_PART_WEIGHT: Final = 1024
_WHOSE: Final = (
    semconv.PROVIDER_NAME,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
    semconv.ACCOUNT,
    semconv.BATCH_ID,
    semconv.BATCH_OUTPUT_FILE,
)
"""What a result has of the exchange that brought it."""
_RANGE: Final = re.compile(r"bytes (\d+)-")
_OF_BATCH: Final = re.compile(r"/messages/batches/|/batch/jobs/|/batches/batch_|/v1(?:alpha|beta)/batches/")
"""Of paths that name a batch of models, whatever answers."""


class _WithoutBody:
    """See `CapturedRequest`. The requests of a batch are many; what its answer says of it is enough."""

    __slots__ = ("_request",)
    body = b""

    def __init__(self, request: CapturedRequest) -> None:
        self._request = request

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def headers(self) -> Mapping[str, str]:
        return self._request.headers

    def address(self) -> tuple[str, int]:
        return self._request.address()


class _Part:
    """See `FinishedCall`. A part of a file of results on its way to the delivery thread."""

    __slots__ = ("_call", "_is_shared", "_pieces", "number", "size")

    def __init__(
        self,
        call: BatchCall,
        number: int,
        pieces: Sequence[bytes | memoryview],
        size: int,
        *,
        is_shared: bool,
    ) -> None:
        self._call = call
        self._pieces = pieces
        self._is_shared = is_shared
        self.number = number
        self.size = size

    def complete(self) -> Sequence[ReadableSpan]:
        pieces, self._pieces = self._pieces, ()
        self.release()
        return self._call.spans_of_part(self.number, pieces)

    def release(self) -> None:
        """It does not wait any more."""
        if self._is_shared:
            self._is_shared = False
            self._call.memory.release(self.size)

    def results(self) -> int:
        """About how many results it holds."""
        return max(sum(bytes(piece).count(b"\n") for piece in self._pieces), 1)

    def weight(self) -> int:
        return _PART_WEIGHT if self._is_shared else self.size

    def span_count(self) -> int:
        return 1

    def may_be_retried(self) -> bool:
        return False


class BatchCall(LlmCall):
    """See `LlmCall`."""

    __slots__ = (
        "_batch_format",
        "_decompress",
        "_here",
        "_is_quiet",
        "_lost",
        "_next_part",
        "_of_body",
        "_offset",
        "_parts",
        "_results",
        "memory",
    )

    def __init__(
        self, runtime: Runtime, wire_format: WireFormat, request: CapturedRequest, here: Context
    ) -> None:
        self._here = here
        self._batch_format = wire_format.batch or BatchFormat()
        self.memory = memory_of(runtime.delivery_worker)
        super().__init__(runtime, wire_format, _WithoutBody(request), here)
        self._results: BatchResults | None = None
        self._decompress: Callable[[bytes], bytes] | None = None
        self._of_body: Sequence[ReadableSpan] = ()
        self._parts = self._next_part = self._lost = self._offset = 0
        self._is_quiet = False

    def _begin_span(self, here: Context) -> LlmSpan:
        begin = super()._begin_span
        if self._format.method == "POST" or self._is_surely_of_batch():
            return begin(here)
        return DeferredSpan(lambda: begin(here))

    def receive(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        encoded: bool = True,
        head_at: float | None = None,
    ) -> None:
        if self._batch_format.is_file and status in (200, 206):
            # Of what begins within a line, or is compressed, the first bytes say nothing.
            is_open = status == 206 or (body is None and bool(headers.get("content-encoding")))
            self.body = ReceivedResults(self._hand_over, () if is_open else self._batch_format.marks)
            self.body.is_checked = is_open
        super().receive(status, headers, body, encoded=encoded, head_at=head_at)

    def end(self, *, early: bool = False, quiet: bool = False, at: float | None = None) -> None:
        self._is_quiet = quiet
        super().end(early=early, quiet=quiet, at=at)

    def _hand_over(self, pieces: Sequence[bytes | memoryview], size: int, is_whole: bool) -> None:
        """On the caller's path. Parts of what the program holds itself weigh nothing, up to a bound."""
        worker = self._runtime.delivery_worker
        is_shared = is_whole and self.memory.may_share(size)
        part = _Part(self, self._parts, pieces, size, is_shared=is_shared)
        self._parts += 1
        if not worker.submit_call(part, quiet=self._is_quiet):
            part.release()
            results = part.results()
            self._lost += results
            if results > 1:  # the part itself is counted
                worker.count_dropped(results - 1)

    def spans_of_part(self, number: int, pieces: Sequence[bytes | memoryview]) -> Sequence[ReadableSpan]:
        """On the delivery thread: the spans of a part's results."""
        if self._is_rejected():
            return ()
        results = self._results or self._begin_results(pieces)
        if number != self._next_part:
            results.skip()
        self._next_part = number + 1
        data = decompressed(self._decompress, pieces)
        if data is None:
            results.lose(1)
            results.skip()
            return ()
        self._offset += len(data)
        spans = list(results.feed(data))
        self._reject_others(results)
        return spans if spans and self._begins() else ()

    def complete(self) -> Sequence[ReadableSpan]:
        if not isinstance(self.body, ReceivedResults):
            if not self._is_of_batch() or not self._begins():
                return ()
            own = super().complete()
            return (*self._of_body, *own)
        if self._is_rejected() or (self._results is None and not self._is_surely_of_batch()):
            return ()
        results = self._results or self._begin_results(())
        if self._next_part != self._parts:
            results.skip()
        spans, tail = results.finish()
        if self._decompress is None and (results.is_decided or tail.lstrip().startswith(b"{")):
            self.memory.keep_tail(self._request.path, self._offset, tail)
        self._reject_others(results)
        if self._is_rejected() or not (results.is_decided or self._is_surely_of_batch()):
            return ()
        results.lose(self._lost)
        return (*spans, *super().complete()) if self._begins() else ()

    def _begin_results(self, pieces: Sequence[bytes | memoryview]) -> BatchResults:
        attributes = self._known()
        encodings = self._headers.get("content-encoding")
        head = [bytes(piece[:4]) for piece in pieces[:4]]
        if encodings and content_encoding.is_encoded(head, encodings, otherwise=self.encoded):
            self._decompress = content_encoding.decompressor(encodings) or _not_decoded
        self._results = results = self._opened(attributes)
        begins_at = _RANGE.match(self._headers.get("content-range", ""))
        if self._status == 206 and begins_at is not None and int(begins_at[1]):
            self._offset = int(begins_at[1])
            results.begin_with(self.memory.take_tail(self._request.path, self._offset))
        return results

    def _opened(self, attributes: Mapping[str, AttributeValue]) -> BatchResults:
        return BatchResults(
            self._runtime,
            self._batch_format,
            self.memory,
            {key: attributes[key] for key in _WHOSE if key in attributes},
            context_attributes.attributes(self._here),
            content=self._content,
            read_at=self._started_at,
            are_traced=TRACED_HEADER in self._headers,
        )

    def _known(self) -> dict[str, AttributeValue]:
        """What is known of the exchange without its body."""
        self._headers = {name.lower(): value for name, value in self._headers.items()}
        attributes = {**self._format.request(None, self._request.path, False).attributes}
        self._describe_transport(attributes)
        return attributes

    def _describe_response(self, attributes: dict[str, AttributeValue]) -> Json:
        if self._results is not None:
            attributes.update(self._results.attributes)
            if self._abandoned:
                attributes[semconv.STREAM_ABANDONED] = True
            return None
        body = super()._describe_response(attributes)
        if semconv.BATCH_STATUS in attributes:
            self.memory.note_batch(attributes)
            results = self._opened(attributes)
            self._of_body = list(results.of_body(body))
            if results.received:
                attributes.update(results.attributes)
        return body

    def _begins(self) -> bool:
        """Whether it records, now that it is known to be a call."""
        return not isinstance(self.span, DeferredSpan) or self.span.begin()

    def _is_rejected(self) -> bool:
        return isinstance(self.body, ReceivedResults) and self.body.is_rejected

    def _reject_others(self, results: BatchResults) -> None:
        """By its first line a file holds results or does not."""
        if results.received and not results.is_decided and isinstance(self.body, ReceivedResults):
            self.body.is_rejected = not self._is_surely_of_batch()

    def _is_of_batch(self) -> bool:
        """Whether the answer, or where there is none the path, is a batch's."""
        if self._format.method == "POST" or self._is_surely_of_batch():
            return True
        if self._batch_format.is_file or self._status is None or self._status >= 400:
            return False
        body = decode.decoded(b"".join(self._received_pieces()))
        return semconv.BATCH_STATUS in self._format.response(body, False).attributes

    def _is_surely_of_batch(self) -> bool:
        """Whether the request could be for nothing else, or the file is known to be a batch's."""
        path = self._request.path
        if self._batch_format.is_file and self._batch_format.marks:
            named = self._format.request(None, path, False).attributes.get(semconv.BATCH_OUTPUT_FILE)
            return self.memory.batch(named) is not None
        return _OF_BATCH.search(path) is not None


def _not_decoded(data: bytes) -> bytes:
    raise ValueError("an encoding that cannot be undone here")
