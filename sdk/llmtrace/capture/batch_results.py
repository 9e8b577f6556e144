"""Results of a batch to spans, on the delivery thread, as the parts of a file come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.common.media import Media
from llmtrace.common.providers import UNKNOWN
from llmtrace.internal_errors import swallow
from llmtrace.wire import price_tiers, registry
from llmtrace.wire.batch_results import BatchFormat, BatchResult, moment
from llmtrace.wire.format import Json, WireFormat, either, mapping
from llmtrace.wire.framing import decode
from llmtrace.wire.provider_names import provider_of_body
from llmtrace.wire.stated_cost import stated_cost
from llmtrace.wire.usage_estimate import estimated_usage

from .batch_memory import BatchMemory
from .inner_calls import finish_inner_calls
from .result_span import ResultSpan
from .runtime import Runtime
from .translated import attributes_of

_TRANSLATING: Final = swallow("translating a result of a batch", may_raise=False)
_DECODING: Final = swallow("decompressing results of a batch", may_raise=False)
_LONGEST_LINE: Final = 32 * 2**20
_EARLIEST: Final = 1_577_836_800.0
"""2020: a time before is no time."""
_HOUR: Final = 3600
_ANY: Final = "/v1/chat/completions"
"""What a request that failed asked, where nothing says it: nearly all of them do."""


class BatchResults:
    """The results in one answer. Fed in order; what was dropped on the way is a gap.

    received, recorded, repeated, uncounted: how many there were, see `semconv.BATCH_RESULTS_RECEIVED`.
    """

    def __init__(
        self,
        runtime: Runtime,
        batch_format: BatchFormat,
        memory: BatchMemory,
        whose: Mapping[str, AttributeValue],
        initial_attributes: Mapping[str, AttributeValue],
        *,
        content: bool,
        read_at: int,
        are_traced: bool = False,
    ) -> None:
        """whose: what all spans have of the exchange. read_at: nanoseconds since 1970. are_traced: whether
        who ran the batch has recorded its results itself.
        """
        self._runtime = runtime
        self._format = batch_format
        self._memory = memory
        self._whose = dict(whose)
        self._initial_attributes = initial_attributes
        self._content = content
        self._read_at = read_at
        self._are_traced = are_traced
        self._names = [whose.get(key) for key in (semconv.BATCH_OUTPUT_FILE, semconv.BATCH_ID)]
        self._batch = memory.batch(*self._names)
        if self._batch is not None and self._batch.batch_id:
            self._whose[semconv.BATCH_ID] = self._batch.batch_id
        self._line = b""
        self._is_skipping = self._begins_within = False
        self.is_decided = False
        """Whether the first line was a result."""
        self.received = self.recorded = self.repeated = self.uncounted = 0

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """What the span of the answer says of them."""
        counts = {
            semconv.BATCH_RESULTS_RECEIVED: self.received,
            semconv.BATCH_RESULTS_RECORDED: self.recorded,
            semconv.BATCH_RESULTS_REPEATED: self.repeated,
            semconv.BATCH_RESULTS_UNCOUNTED: self.uncounted,
        }
        return {**{key: self._whose[key] for key in (semconv.BATCH_ID,) if key in self._whose}, **counts}

    def lose(self, results: int) -> None:
        """So many results came and could not be read."""
        self.uncounted += results
        self.received += results

    def skip(self) -> None:
        """What comes next does not follow what came."""
        self._line, self._is_skipping = b"", True

    def begin_with(self, tail: bytes) -> None:
        """The file is read from within: its first line began with `tail`, should that be known."""
        self._line, self._begins_within = tail, True

    def feed(self, data: bytes) -> Iterator[ReadableSpan]:
        """The spans of the lines that end in `data`."""
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()
        if self._is_skipping and lines:
            self._is_skipping = False
            if decode.decoded(lines[0]) is None and lines.pop(0):
                self.lose(1)  # the line that the gap ended in
        for line in lines:
            yield from self._spans_of_line(line)
            if self.received and not self.is_decided:
                return  # it is another kind of file
        if len(self._line) > _LONGEST_LINE:
            self.skip()

    def finish(self) -> tuple[Sequence[ReadableSpan], bytes]:
        """The spans of what no end of a line followed, or that text, where it is no whole line."""
        line, self._line = self._line, b""
        if self._is_skipping or not line.strip():
            return (), b""
        if decode.decoded(line) is None:
            return (), line
        return list(self._spans_of_line(line)), b""

    def of_body(self, body: Json) -> Iterator[ReadableSpan]:
        """The spans of the results within a decoded body."""
        for position, value in enumerate(self._format.inlined(body)):
            self.received += 1
            yield from self._spans_of(self._format.result(value), b"", position)

    def _spans_of_line(self, line: bytes) -> Iterator[ReadableSpan]:
        line = line.strip()
        if not line:
            return
        value = decode.decoded(line)
        begins_within, self._begins_within = self._begins_within, False
        if begins_within and value is None:
            return  # the end of a line, whose beginning another request had
        self.received += 1
        result = self._format.result(value)
        self.is_decided = self.is_decided or result is not None
        yield from self._spans_of(result, line, self.received)

    def _spans_of(self, result: BatchResult | None, raw: bytes, position: int) -> Iterator[ReadableSpan]:
        spans: Sequence[ReadableSpan] | None = None
        if self._are_traced:
            self.repeated += 1
            return
        with _TRANSLATING:
            if result is not None:
                spans = self._translated(result, raw, position)
        if spans is None:
            self.uncounted += 1
        elif spans:
            self.recorded += 1
            yield from spans
        else:
            self.repeated += 1

    def _translated(self, result: BatchResult, raw: bytes, position: int) -> Sequence[ReadableSpan] | None:
        """The span and those of the calls within it; none where it was recorded, None where no model's."""
        wire_format = self._api(result)
        if wire_format is None:
            return None
        translation = wire_format.response(result.body, self._content)
        response_id = translation.attributes.get(semconv.RESPONSE_ID)
        said_at = moment(either(mapping(result.body), "created", "created_at", "createTime"))
        time = self._time(said_at)
        span = ResultSpan(
            self._runtime,
            self._identity(result, response_id, said_at, position),
            time,
            self._initial_attributes,
        )
        if not self._memory.is_new(span.context.span_id):
            return ()
        media: list[Media] = []
        attributes = self._attributes(result, wire_format, raw)
        attributes.update(attributes_of(translation, self._runtime, media))
        attributes[semconv.RESPONSE_SERVICE_TIER] = price_tiers.batch_tier(
            attributes.get(semconv.RESPONSE_SERVICE_TIER)
        )
        if semconv.USER_ID in self._initial_attributes:
            attributes.pop(semconv.USER_ID, None)
        status = Status(StatusCode.UNSET)
        if result.error is not None:
            attributes[semconv.ERROR_TYPE], message = result.error
            status = Status(StatusCode.ERROR, self._runtime.redactor.text(message))
        else:
            attributes.update(stated_cost(result.body, {}, attributes.get(semconv.PROVIDER_NAME)))
            asked = None, result.path
            attributes.update(estimated_usage(attributes, wire_format, asked, result.body))
        self._runtime.delivery_worker.attachments.note(span.context, media)
        inner = finish_inner_calls(span, translation.inner_calls, attributes, time)
        models = (attributes.get(key) for key in (semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL))
        words = attributes[semconv.OPERATION_NAME], next(filter(None, models), "")
        name = " ".join(map(str, words)).strip()
        return (*inner, *span.finish(name, attributes, status, time))

    def _attributes(
        self, result: BatchResult, wire_format: WireFormat, raw: bytes
    ) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            **self._whose,
            semconv.OPERATION_NAME: wire_format.operation,
            semconv.BATCH_CUSTOM_ID: self._runtime.redactor.text(result.custom_id),
        }
        if attributes.get(semconv.PROVIDER_NAME) == UNKNOWN:
            attributes[semconv.PROVIDER_NAME] = provider_of_body(raw)
        if result.status is not None:
            attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = result.status
        if result.request_id:
            attributes[semconv.REQUEST_ID] = result.request_id
        if self._batch is not None and self._batch.model:
            attributes[semconv.REQUEST_MODEL] = self._batch.model
        return attributes

    def _api(self, result: BatchResult) -> WireFormat | None:
        """The format of the API that a request of the batch asked: as it shows, else as the batch says."""
        of_batch = self._batch.endpoint if self._batch is not None else ""
        path = result.path or of_batch or (_ANY if result.error is not None else "")
        formats = registry.named(path) if path else ()
        return next((wire_format for wire_format in formats if wire_format.method == "POST"), None)

    def _identity(
        self,
        result: BatchResult,
        response_id: AttributeValue | None,
        said_at: float | None,
        position: int,
    ) -> str:
        """What names it whoever reads it. Small servers reuse ids, hence the time; names of programs' own,
        settings and the batch's id, which one reader may not know, are not in it.
        """
        answer = response_id or result.request_id
        # Of a file that is read in pieces the numbers of its lines are not known.
        place = "" if answer else f"#{position}"
        known = answer or next(filter(None, self._names), "")
        words = str(known), result.custom_id or place, "" if said_at is None else repr(said_at)
        return "\0".join(words)

    def _time(self, said_at: float | None) -> int:
        """When the model answered, else when the batch ended, else when it was read."""
        ended_at = self._batch.ended_at if self._batch is not None else None
        latest = self._read_at / 1e9 + _HOUR
        times = (time for time in (said_at, ended_at) if time is not None and _EARLIEST <= time <= latest)
        time = next(times, None)
        return self._read_at if time is None else round(time * 1e9)


def decompressed(
    decompress: Callable[[bytes], bytes] | None, pieces: Sequence[bytes | memoryview]
) -> bytes | None:
    """A part of a body without its encoding; None where that cannot be undone."""
    data = b"".join(pieces)
    if decompress is None:
        return data
    with _DECODING:
        return decompress(data)
    return None
