"""What every hook does with a request: recognise it, begin its call, enter, and note what came of it.

Nothing here raises outside strict mode; whatever happens, the request is sent as the caller made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY as SUPPRESS_HTTP
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from llmtrace import internal_errors
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes, other_tracers
from llmtrace.spans.generator_blocks import Attached
from llmtrace.wire import registry
from llmtrace.wire.format import WireFormat

from . import content_encoding, open_streams, other_http, propagation
from .batch_call import BatchCall
from .call import CapturedRequest, LlmCall
from .deferred_span import DeferredSpan
from .runtime import Runtime

METHODS: Final = frozenset({"POST", "GET", "DELETE"})
_INSIDE: Final = otel_context.create_key("llmtrace-inside")

hook_failures: Final[dict[str, tuple[int, str]]] = {}
"""How often a hook failed, and with what first: by its module, or by the library that it does not fit."""


def count_failure(place: str, error: Exception) -> None:
    """Count a failure of a hook."""
    count, first = hook_failures.get(place, (0, f"{type(error).__name__}: {error}"[:500]))
    hook_failures[place] = count + 1, first


class _Beginning(swallow):
    """Also counts a failure for the hook in whose module the block stands."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None and trace is not None and isinstance(error, Exception):
            count_failure(str(trace.tb_frame.f_globals.get("__name__")), error)
        return super().__exit__(kind, error, trace)


BEGINNING: Final = _Beginning("beginning a call")
_FAILING: Final = swallow("noting a failed call")
_CHUNK: Final = swallow("noting a chunk")
_STREAM_ERROR: Final = swallow("noting a stream's error")
_STREAM_END: Final = swallow("noting a stream's end")


class SentRequest:
    """Around the sending of one request: `with sent: response = original(...)`.

    call: what is recorded of it; None where it is no LLM call, or nothing records.
    """

    __slots__ = ("_attached", "call")

    def __init__(self, call: LlmCall | None = None, *attached: Attached | None) -> None:
        """attached: the contexts that were attached for it, and go when it was sent or could not be."""
        self.call = call
        self._attached = attached

    @property
    def is_open(self) -> bool:
        """Whether its answer will say what it is: until then it is treated as any other request."""
        return self.call is not None and isinstance(self.call.span, DeferredSpan)

    def within(self, attached: Attached | None) -> SentRequest:
        """The same, with a context that was attached after the others."""
        return SentRequest(self.call, *self._attached, attached)

    def __enter__(self) -> None:
        """The context was attached when the request was begun."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for attached in reversed(self._attached):
            if attached is not None:
                attached.leave()
        if error is not None and self.call is not None:
            with _FAILING:
                self.call.fail(error)


NOTHING: Final = SentRequest()


def current_runtime() -> Runtime | None:
    """What `init` started; `hooks.install` puts the real one here."""
    return None


def recording() -> Runtime | None:
    """What records here, if anything does.

    Nothing does within another call (a transport that sends by another client), or where the application
    or our own export asked for nothing to be traced.
    """
    runtime = current_runtime()
    if runtime is None:
        return None
    context = otel_context.get_current()
    if _INSIDE in context:
        return None
    if context.get("suppress_instrumentation"):
        # Logfire quiets the HTTP below its own span of the call; for us that span is the one to mark.
        return runtime if other_tracers.is_within() else None
    return runtime


def path_of(target: str) -> str:
    """The path of a URL or of a request's target, without its query."""
    path = target.partition("?")[0]
    return "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path


def is_inside(context: Context) -> bool:
    """Whether a call is being sent in this context."""
    return _INSIDE in context


def recognised(method: str, target: str, body: Any) -> tuple[WireFormat, str, bytes] | None:
    """(format, path, body) of a request given as text, if it is an LLM call."""
    if method not in METHODS:
        return None
    path = path_of(target)
    raw = body.encode() if isinstance(body, str) else body if isinstance(body, (bytes, bytearray)) else b""
    recognised = recognised_body(method, path, bytes(raw))
    return None if recognised is None else (recognised[0], path, recognised[1])


def recognised_body(method: str, path: str, body: bytes) -> tuple[WireFormat, bytes] | None:
    """(format, body without its compression) of a request, if it is an LLM call. path: without query."""
    if body.startswith(b"\x1f\x8b") and registry.named(path, method):
        body = content_encoding.unzipped(body)
    wire_format = registry.recognise(path, body, method)
    return None if wire_format is None else (wire_format, body)


def begin(
    runtime: Runtime,
    wire_format: WireFormat,
    request: CapturedRequest,
    host: Callable[[], str],
    set_header: propagation.SetHeader,
) -> SentRequest:
    """Begin a call, write its headers with `set_header`, and attach the context in which it is sent."""
    call = begin_call(runtime, wire_format, request)
    if isinstance(call.span, DeferredSpan):
        return SentRequest(call, _mark())
    if runtime.config.http_spans == "all":
        other_http.install(runtime)
    propagation.set_trace_headers(call.span.context, set_header)
    if runtime.config.baggage_hosts:
        propagation.set_baggage_header(runtime.config, host(), set_header)
    return SentRequest(call if call.span.recording else None, _enter(call))


def begin_call(
    runtime: Runtime, wire_format: WireFormat, request: CapturedRequest, here: Context | None = None
) -> LlmCall:
    """Begin one that nothing is sent for. here: the context to begin it in, where that is another one."""
    if here is not None:
        return LlmCall(runtime, wire_format, request, here)
    kind = LlmCall if wire_format.batch is None else BatchCall
    return kind(runtime, wire_format, request, context_of_call(wire_format))


def context_of_call(wire_format: WireFormat) -> Context:
    """In which a call begins: below the active span, or another library's that is open and not active."""
    if wire_format.operation == "retrieval":
        other_tracers.mark_query()
    above = other_tracers.enclosing(mark=wire_format.calls_model) if other_tracers.seen_any() else None
    here = context_attributes.here()
    if above is not None:
        here = set_span_in_context(above, here)
    return here


def _mark() -> Attached:
    """While it is sent, no other hook begins it. To HTTP instrumentation it is a request like any other."""
    before = otel_context.get_current()
    inside = otel_context.set_value(_INSIDE, True, before)
    return Attached(otel_context.attach(inside), inside, before)


def _enter(call: LlmCall) -> Attached:
    """While it is sent: the HTTP instrumentation keeps quiet, or hangs its span below ours."""
    before = otel_context.get_current()
    inside = otel_context.set_value(_INSIDE, True, before)
    if call.http_spans_too:
        inside = baggage.clear(set_span_in_context(NonRecordingSpan(call.span.context), inside))
    else:
        inside = otel_context.set_value(SUPPRESS_HTTP, True, inside)
    return Attached(otel_context.attach(inside), inside, before)


def receive(
    call: LlmCall,
    status: int,
    headers: Mapping[str, str],
    body: Callable[[], bytes | None],
    *,
    wrap: Callable[[], Any],
    encoded: bool = True,
    head_at: float | None = None,
) -> Any:
    """Note a response. What `wrap` makes of a stream is returned; None when `body` gives it whole.

    encoded: whether a stream's chunks are as they came over the wire (else decompressed).
    head_at: when the head of a response that was read whole had come (perf_counter), where that is known.
    """
    try:
        whole = body()
        call.receive(status, headers, whole, encoded=encoded, head_at=head_at)
        return wrap() if whole is None else None
    except Exception as error:  # noqa: BLE001  # what was begun has to end
        with suppress(Exception):  # the first failure is the one to report
            call.end()
        internal_errors.report("receiving a response", error)
        return None


def forget(moment: float) -> None:
    """Instead of noting when a chunk came that could not be noted itself."""


class StreamRecorder:
    """What a wrapped response stream reports of itself; no failure of ours gets out.

    As a context manager it notes the exception that a read lets out; a generator that is closed is none.
    """

    __slots__ = ("call",)

    def __init__(self, call: LlmCall) -> None:
        self.call = call
        open_streams.add(call)

    def add_chunk(self, chunk: bytes) -> None:
        """A chunk went by."""
        with _CHUNK:
            self.call.body.add(chunk)

    def add_chunk_with_room(
        self, chunk: bytes
    ) -> tuple[int, Callable[[bytes], None], Callable[[float], None]]:
        """See `ReceivedBody.add_with_room`."""
        with _CHUNK:
            return self.call.body.add_with_room(chunk)
        return 0, self.add_chunk, forget

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and kind is not GeneratorExit:
            with _STREAM_ERROR:
                if open_streams.claim(self.call):
                    self.call.fail(error)

    def ended(self, *, early: bool) -> None:
        """It ended, or was left before its end."""
        with _STREAM_END:
            if open_streams.claim(self.call):
                self.call.end(early=early)

    def finished(self, finish: Callable[[], None]) -> None:
        """It ended in a way of its own: `finish` ends the call, where nothing has."""
        with _STREAM_END:
            if open_streams.claim(self.call):
                finish()

    def garbage_collected(self) -> None:
        """It was garbage-collected."""
        with suppress(Exception):  # while the interpreter exits, not even logging can be relied on
            if open_streams.claim(self.call):
                self.call.end(early=True, quiet=True)
