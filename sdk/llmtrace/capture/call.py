"""One LLM call: what the caller's path notes down, and the span made of it afterwards.

The caller pays for the span's ids, a few clock readings (one for each chunk of a stream) and references to
the bodies. `complete` runs on the delivery thread: it parses the bodies, fills in the attributes and ends
the span with the noted time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from llmtrace import clock, semconv
from llmtrace.common.media import Media
from llmtrace.common.providers import UNKNOWN
from llmtrace.delivery import double_spans
from llmtrace.internal_errors import swallow
from llmtrace.spans import cache_fills, context_attributes, other_tracers, retries
from llmtrace.wire import accounts, background_responses, cache_headers, registry, response_headers
from llmtrace.wire.format import UNDETERMINED, InnerCall, Json, Translation, WireFormat
from llmtrace.wire.framing import decode, output_events, sse
from llmtrace.wire.provider_errors import provider_error, without_secrets
from llmtrace.wire.provider_names import provider_name, provider_of_body
from llmtrace.wire.stated_cost import stated_cost
from llmtrace.wire.usage_estimate import estimated_usage, has_usage

from . import content_encoding, llm_span
from .inner_calls import finish_inner_calls
from .received_body import ReceivedBody
from .runtime import Runtime
from .translated import attributes_of

_TRANSLATING: Final = swallow("translating a call", may_raise=False)
_UNSET: Final = Status(StatusCode.UNSET)
_OF_OTHER_HTTP: Final = (
    semconv.SERVER_ADDRESS, semconv.SERVER_PORT, semconv.HTTP_RESPONSE_STATUS_CODE, semconv.ERROR_TYPE,
)  # fmt: skip
_BASE_WEIGHT: Final = 2048


class CapturedRequest(Protocol):
    """A request as its HTTP library knows it; nothing is worked out before it is asked for."""

    @property
    def path(self) -> str:
        """Percent-encoded, without query."""

    @property
    def body(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """`get` takes names in any case."""

    def address(self) -> tuple[str, int]:
        """Host and port."""


class LlmCall:
    """The evidence of one request and its response, from `begin` until its span is ended."""

    __slots__ = (
        "_abandoned",
        "_content",
        "_end",
        "_error",
        "_format",
        "_head_at",
        "_headers",
        "_inner_calls",
        "_media",
        "_request",
        "_retry",
        "_retry_of",
        "_runtime",
        "_span_status",
        "_start",
        "_started_at",
        "_status",
        "_streamed",
        "body",
        "encoded",
        "span",
    )

    def __init__(
        self, runtime: Runtime, wire_format: WireFormat, request: CapturedRequest, here: Context
    ) -> None:
        """Begin it. here: what holds where it is made, see `context_attributes.here`."""
        self._runtime = runtime
        self._format = wire_format
        self._request = request
        self._span_status = _UNSET
        self._content = context_attributes.capture(runtime.config.capture, here) != "none"
        self.body = ReceivedBody(runtime.config.max_body_bytes)  # of the response
        self._inner_calls: list[InnerCall] = []
        self._media: list[Media] = []
        self._headers: Mapping[str, str] = {}
        self._status: int | None = None
        self._error: tuple[str, str] | None = None
        self._head_at: float | None = None
        self._streamed = self.encoded = self._abandoned = False
        self._end: int | None = None
        self._started_at = clock.time_ns()
        self.span = self._begin_span(here)
        self._retry = retries.Retry(self.span.context, other_tracers.programs_parent(here), self._started_at)
        self._retry_of: retries.Retry | None = None
        if wire_format.calls_model:
            self._retry_of = retries.repeated(self._retry, request)
            retries.last.set(self._retry)
            cache_fills.note_call(self.span.context, here)
        self._start = clock.perf_counter()

    def _begin_span(self, here: Context) -> llm_span.LlmSpan:
        return llm_span.begin(self._runtime, self._format.operation, self._started_at, here)

    @property
    def http_spans_too(self) -> bool:
        """Whether the HTTP request below this call gets a span as well."""
        return self._runtime.config.http_spans == "all"

    def receive(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        encoded: bool = True,
        head_at: float | None = None,
    ) -> None:
        """Note the response's head, and its (decoded) body where it was read already.

        encoded: whether the chunks of a streamed body are still compressed.
        head_at: when the head of a body that was read already had come (perf_counter).
        """
        self._status = status
        self._headers = headers
        self._head_at = head_at
        if body is not None:
            self.body.set_whole(body)
            self.end()
        else:
            self._streamed, self.encoded = True, encoded

    def fail(self, error: BaseException) -> None:
        """End with the exception that the caller gets."""
        if self._end is None:
            # As text: the exception would keep the caller's frames, and all they hold, alive.
            self._error = type(error).__qualname__, str(error)
            # Not an Exception: a cancelled task, Ctrl-C. The caller gave up, nothing broke.
            self._abandoned = not isinstance(error, Exception)
            self.end()

    def end(self, *, early: bool = False, quiet: bool = False, at: float | None = None) -> None:
        """Note the end once; `early` when the caller left before the stream was over.

        at: when it was (perf_counter), where that is not now.
        """
        if self._end is not None:
            return
        self._end = self._started_at + int(((at or clock.perf_counter()) - self._start) * 1e9)
        self._abandoned = self._abandoned or early
        self.body.end()
        if self._error is not None or (self._status or 0) >= 400:
            self._retry.fail(self._request.path, self._request.body)
            self._retry.is_retryable = not self._abandoned and retries.is_retryable(self._status)
        self._retry.ended_at = self._end
        self._runtime.delivery_worker.submit_call(self, quiet=quiet)

    def weight(self) -> int:
        """Bytes held."""
        sent: int | None = getattr(self._request, "body_size", None)  # of what is only put together later
        return (len(self._request.body) if sent is None else sent) + self.body.weight + _BASE_WEIGHT

    def may_be_retried(self) -> bool:
        """Whether its client may be about to try again, so that this one would not count."""
        retry = self._retry
        if not retry.is_retryable or retry.superseded or retries.resend_count(self._request.headers) is None:
            return False
        return clock.time_ns() - (self._end or 0) < retries.HELD_SECONDS * 1e9

    def span_count(self) -> int:
        return 1

    def complete(self) -> Sequence[ReadableSpan]:
        """Make the span; runs on the delivery thread, once. Nothing where the span's provider hands it on."""
        if self._format is UNDETERMINED:
            self._format = registry.recognise(self._request.path, self._request.body) or UNDETERMINED
        attributes: dict[str, AttributeValue] = {
            semconv.OPERATION_NAME: self._format.operation,
            semconv.PROVIDER_NAME: UNKNOWN,
        }
        # Looked into many times, and the libraries' own mappings are slow.
        self._headers = {name.lower(): value for name, value in self._headers.items()}
        with _TRANSLATING:  # the span ends with what is known
            self._describe_transport(attributes)
            sent = self._request.body
            request_body = decode.decoded_request(sent) if sent else None
            self._merge(self._format.request(request_body, self._request.path, self._content), attributes)
            answer = self._describe_response(attributes)
            if self._format.fetched_again:
                fetched = self._format.method == "GET" or self._format.operation == background_responses.FETCH
                background_responses.count_once(attributes, self._runtime.delivery_worker, fetched=fetched)
                if attributes[semconv.OPERATION_NAME] == background_responses.FETCH:
                    self._inner_calls.clear()  # they have counted with the answer
            self._inner_calls = background_responses.not_counted(
                self._inner_calls, self._runtime.delivery_worker
            )
            if self._status is not None and self._status < 400:
                asked = request_body, self._request.path
                attributes.update(estimated_usage(attributes, self._format, asked, answer))
                if self._format.piece_usage is not None:
                    attributes.update(self._format.piece_usage(request_body, answer, attributes))
        self._runtime.delivery_worker.attachments.note(self.span.context, self._media)
        if self._span_status is not _UNSET and not self._retry.failed:
            self._retry.fail(self._request.path, self._request.body)  # in the middle of its stream
        if self._retry.superseded and not has_usage(attributes):
            attributes[semconv.COUNTED] = False  # what was billed counts: the link says that it is no call
        if semconv.USER_ID in self.span.initial_attributes:
            attributes.pop(semconv.USER_ID, None)  # the application's word goes before the request's
        name = " ".join(
            str(attributes[key])
            for key in (semconv.OPERATION_NAME, semconv.REQUEST_MODEL, semconv.DATA_SOURCE_ID)
            if key in attributes
        )
        end = self._end or self._started_at
        if self._format is UNDETERMINED:
            return self._finish_other(attributes, end)
        if self.span.parent is not None and self._format.calls_model:
            double_spans.remember_parent(self.span.parent)
        inner = finish_inner_calls(self.span, self._inner_calls, attributes, end)
        repeated = self._repeated()
        return (*inner, *self.span.finish(name, attributes, self._span_status, end, retry_of=repeated))

    def _finish_other(self, attributes: Mapping[str, AttributeValue], end: int) -> Sequence[ReadableSpan]:
        """What turned out to be no LLM call is a span of HTTP, for its headers named one."""
        if self._runtime.config.http_spans == "none":
            return ()
        known = {key: attributes[key] for key in _OF_OTHER_HTTP if key in attributes}
        known |= {semconv.HTTP_REQUEST_METHOD: "POST", semconv.URL_PATH: self._request.path}
        return self.span.finish("POST", known, self._span_status, end)

    def _repeated(self) -> SpanContext | None:
        """The earlier request that this one repeats, to link to."""
        previous, request = self._retry_of, self._request
        if previous is None or not retries.is_repetition(previous, request.path, request.body):
            return None
        return previous.context

    def _describe_transport(self, attributes: dict[str, AttributeValue]) -> None:
        headers = self._request.headers
        host, port = self._request.address()
        attributes[semconv.PROVIDER_NAME] = provider_name(
            (host, port),
            self._request.path,
            self._format.provider,
            headers,
            self._headers,
            self._runtime.config.providers,
        )
        attributes[semconv.SERVER_ADDRESS] = host
        attributes[semconv.SERVER_PORT] = port
        if self._status is not None:
            attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = self._status
        if resend_count := retries.resend_count(headers):
            attributes[semconv.HTTP_REQUEST_RESEND_COUNT] = resend_count
        attributes.update(response_headers.described(self._headers))
        attributes.update(cache_headers.cache_attributes(self._headers))
        if mark := accounts.account(headers, self._headers, self._request.path):
            attributes[semconv.ACCOUNT] = mark
        if self._format.collection_of_host is not None and (named := self._format.collection_of_host(host)):
            attributes[semconv.DATA_SOURCE_ID] = attributes[semconv.DB_COLLECTION_NAME] = named
        if self.body.is_truncated:
            attributes[semconv.BODY_TRUNCATED] = True
        if self._error is not None:
            self._describe_error(attributes, *self._error)

    def _describe_response(self, attributes: dict[str, AttributeValue]) -> Json:
        """What the answer says; returns its body, decoded or folded."""
        pieces = self._received_pieces()
        received = b"".join(pieces)
        content_type = self._headers.get("content-type", "")
        arrays = self._format.streams_arrays
        events = decode.events(content_type, received, self._format.joined, may_be_array=arrays)
        is_stream = events is not None
        body: Json = None
        times = self.body.times
        first_byte = times[0] if times else self._head_at
        if first_byte is not None:
            attributes[semconv.RESPONSE_TIME_TO_FIRST_BYTE] = first_byte - self._start
        if events is not None:
            attributes[semconv.REQUEST_STREAM] = True
            # Where it was read whole, when its output came is not known.
            positions = output_events.first_and_last(content_type, received, pieces)
            if positions is not None and len(times) == len(pieces):
                first, last = positions
                attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = times[first] - self._start
                attributes[semconv.RESPONSE_TIME_TO_LAST_TOKEN] = times[last] - self._start
            body = self._format.fold(events)
        else:
            vectors = attributes[semconv.OPERATION_NAME] == "embeddings"
            plain = self._format.plain
            if plain is not None and (self._status or 0) < 400:
                body = plain(content_type, received, self.body.size)
        if body is None and not is_stream:
            body = decode.decoded(decode.without_vectors(received) if vectors else received)
        if body is not None:
            self._merge(self._format.response(body, self._content), attributes)
        if attributes[semconv.PROVIDER_NAME] == UNKNOWN:
            attributes[semconv.PROVIDER_NAME] = provider_of_body(received)
        for key, count in response_headers.counts(self._headers).items():
            attributes.setdefault(key, count)
        stated = stated_cost(body, self._headers, attributes.get(semconv.PROVIDER_NAME))
        if semconv.RESPONSE_CACHE_HIT in attributes:
            stated = cache_headers.saved_cost(stated)
        attributes.update(stated)
        response_id = attributes.get(semconv.RESPONSE_ID)
        if isinstance(response_id, str):
            double_spans.remember(response_id, self.span.context.trace_id, self.span.context.span_id)

        failed = self._status is not None and self._status >= 400
        kind, message = provider_error(body, failed=failed)
        if kind is None and message is None:
            kind, message = self._format.failure(body)
        if self._error is None and self._status is not None and (failed or kind or message):
            kind = kind or response_headers.error_type(self._headers)
            kind = kind or (str(self._status) if failed else "_OTHER")
            self._describe_error(attributes, kind, message or received[:200].decode("utf-8", "replace"))
        reasons = attributes.get(semconv.RESPONSE_FINISH_REASONS)
        if self._streamed and (is_stream or self._abandoned or self._error is not None):
            if not reasons:
                attributes[semconv.RESPONSE_FINISH_REASONS] = reasons = ["error"]
            # Leaving after the last event is not giving up: clients close once they saw it.
            unfinished = not isinstance(reasons, list) or "error" in reasons
            if self._abandoned and unfinished and not sse.is_done(received):
                attributes[semconv.STREAM_ABANDONED] = True
        return body

    def _describe_error(self, attributes: dict[str, AttributeValue], kind: str, message: str) -> None:
        attributes[semconv.ERROR_TYPE] = kind
        secrets = accounts.secrets_of(self._request.headers)
        self._span_status = Status(
            StatusCode.ERROR, self._runtime.redactor.text(without_secrets(message, secrets))
        )

    def _merge(self, translation: Translation, attributes: dict[str, AttributeValue]) -> None:
        attributes.update(attributes_of(translation, self._runtime, self._media))
        self._inner_calls += translation.inner_calls

    def _received_pieces(self) -> list[bytes]:
        """The body in the pieces that it came in, decoded."""
        pieces = self.body.pieces
        encodings = self._headers.get("content-encoding")
        if not encodings or not content_encoding.is_encoded(pieces, encodings, otherwise=self.encoded):
            return pieces
        return content_encoding.decoded(pieces, encodings)
