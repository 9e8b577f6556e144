"""What every hook does with a request: recognise it, begin its call, enter, and note what came of it.

Nothing here raises outside strict mode; whatever happens, the request is sent as the caller made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Token
from typing import Any, Final

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY as SUPPRESS_HTTP
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from llmtrace import internal_errors
from llmtrace.spans import other_tracers
from llmtrace.wire import registry
from llmtrace.wire.format import WireFormat

from . import other_http, propagation
from .call import CapturedRequest, LlmCall
from .runtime import Runtime

METHODS: Final = frozenset({"POST", "GET"})
_INSIDE: Final = otel_context.create_key("llmtrace-inside")

Begun = tuple[LlmCall | None, Token[Context] | None]
NOTHING: Final[Begun] = (None, None)


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


def recognised(method: str, target: str, body: Any) -> tuple[WireFormat, str, bytes] | None:
    """(format, path, body) of a request given as text, if it is an LLM call."""
    if method not in METHODS:
        return None
    path = target.partition("?")[0]
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    raw = body.encode() if isinstance(body, str) else body if isinstance(body, (bytes, bytearray)) else b""
    wire_format = registry.recognise(path, bytes(raw), method)
    return None if wire_format is None else (wire_format, path, bytes(raw))


def begin(
    runtime: Runtime,
    wire_format: WireFormat,
    request: CapturedRequest,
    host: Callable[[], str],
    set_header: propagation.SetHeader,
) -> Begun:
    """Begin a call, write its headers with `set_header`, and enter it: `leave` with the second value."""
    if runtime.config.http_spans == "all":
        other_http.install(runtime)
    if other_tracers.seen_any():
        other_tracers.mark_enclosing()
    call = LlmCall(runtime, wire_format, request)
    propagation.set_trace_headers(call.span.context, set_header)
    if runtime.config.baggage_hosts:
        propagation.set_baggage_header(runtime.config, host(), set_header)
    return call if call.span.recording else None, _enter(call)


def _enter(call: LlmCall) -> Token[Context]:
    """While it is sent: the HTTP instrumentation keeps quiet, or hangs its span below ours."""
    inside = otel_context.set_value(_INSIDE, True)
    if call.http_spans_too:
        inside = baggage.clear(set_span_in_context(NonRecordingSpan(call.span.context), inside))
    else:
        inside = otel_context.set_value(SUPPRESS_HTTP, True, inside)
    return otel_context.attach(inside)


def leave(token: Token[Context] | None) -> None:
    """The request was sent, or could not be."""
    if token is not None:
        otel_context.detach(token)


def fail(call: LlmCall, error: BaseException) -> None:
    """Note the exception that the caller gets."""
    try:
        call.fail(error)
    except Exception as ours:  # noqa: BLE001  # see internal_errors
        internal_errors.report("noting a failed call", ours)


def receive(
    call: LlmCall,
    status: int,
    headers: Mapping[str, str],
    body: Callable[[], bytes | None],
    *,
    wrap: Callable[[], Any],
    encoded: bool = True,
) -> Any:
    """Note a response. What `wrap` makes of a stream is returned; None when `body` gives it whole.

    encoded: whether a stream's chunks are as they came over the wire (else decompressed).
    """
    try:
        whole = body()
        call.receive(status, headers, whole, encoded=encoded)
        return wrap() if whole is None else None
    except Exception as error:  # noqa: BLE001  # see internal_errors
        with suppress(Exception):  # the first failure is the one to report
            call.end()
        internal_errors.report("receiving a response", error)
        return None


class StreamRecorder:
    """What a wrapped response stream reports of itself; no failure of ours gets out."""

    __slots__ = ("call",)

    def __init__(self, call: LlmCall) -> None:
        self.call = call

    def add_chunk(self, chunk: bytes) -> None:
        """A chunk went by."""
        try:
            self.call.add_chunk(chunk)
        except Exception as error:  # noqa: BLE001  # see internal_errors
            internal_errors.report("noting a chunk", error)

    def add_chunk_with_room(self, chunk: bytes) -> tuple[int, Callable[[bytes], None]]:
        """See `LlmCall.add_chunk_with_room`."""
        try:
            return self.call.add_chunk_with_room(chunk)
        except Exception as error:  # noqa: BLE001  # see internal_errors
            internal_errors.report("noting a chunk", error)
            return 0, self.add_chunk

    def failed(self, error: BaseException) -> None:
        """The stream broke; the caller gets `error`."""
        try:
            self.call.fail(error)
        except Exception as ours:  # noqa: BLE001  # see internal_errors
            internal_errors.report("noting a stream's error", ours)

    def ended(self, *, early: bool) -> None:
        """It ended, or was left before its end."""
        try:
            self.call.end(early=early)
        except Exception as error:  # noqa: BLE001  # see internal_errors
            internal_errors.report("noting a stream's end", error)

    def garbage_collected(self) -> None:
        """It was garbage-collected."""
        with suppress(Exception):  # while the interpreter exits, not even logging can be relied on
            self.call.end(early=True, quiet=True)
