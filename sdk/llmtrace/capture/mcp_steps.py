"""The span of one MCP request, at its client or at its server, and the context that it carries.

Both sides follow the conventions: the client's context travels in `params._meta`, the server's span lies
below it, and what is active at the server is a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes
from llmtrace.wire.media_parts import without_media
from llmtrace.wire.render import render

from . import propagation
from .runtime import Runtime

_CALL_TOOL: Final = "tools/call"
_TARGETS: Final = {
    _CALL_TOOL: ("name", semconv.TOOL_NAME),
    "prompts/get": ("name", semconv.PROMPT_NAME),
    "resources/read": ("uri", semconv.MCP_RESOURCE_URI),
    "resources/subscribe": ("uri", semconv.MCP_RESOURCE_URI),
}
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_RESULT: Final = swallow("recording an MCP result")
_ENDING: Final = swallow("ending an MCP span")


class McpStep:
    """Around one request: `with step: step.note_result(await original(...))`.

    span: the step's own, or the open span of a tool of which the request is a part.
    """

    def __init__(self, runtime: Runtime, method: str, span: trace.Span, *, is_own: bool) -> None:
        self.span = span
        self._runtime = runtime
        self._method = method
        self._is_own = is_own
        self._token: Token[Context] | None = None

    def headers(self) -> dict[str, str]:
        """What goes into `params._meta`."""
        carried: dict[str, str] = {}
        propagation.set_trace_headers(self.span.get_span_context(), carried.__setitem__)
        return carried

    def note_result(self, result: Any) -> None:
        """The answer: a model of the library's, or its JSON."""
        with _RESULT:
            if self._method != _CALL_TOOL:
                return
            if _is_tool_error(result):
                self._set_error("tool_error", None)
            if self._records_content():
                self.span.set_attribute(semconv.TOOL_CALL_RESULT, self._text(_plain(result)))

    def note_failure(self, code: Any, message: Any) -> None:
        """The answer is an error of JSON-RPC."""
        self.span.set_attribute(semconv.RPC_RESPONSE_STATUS_CODE, str(code))
        self._set_error(str(code), str(message))

    def note_arguments(self, arguments: Any) -> None:
        """What a tool is called with."""
        if self._method == _CALL_TOOL and arguments is not None and self._records_content():
            self.span.set_attribute(semconv.TOOL_CALL_ARGUMENTS, self._text(_plain(arguments)))

    def __enter__(self) -> None:
        if self._is_own:
            self._token = otel_context.attach(set_span_in_context(self.span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _ENDING:
            if self._token is not None:
                otel_context.detach(self._token)
            stated: Any = getattr(error, "error", None)
            if hasattr(stated, "code") and hasattr(stated, "message"):
                self.note_failure(stated.code, stated.message)
            elif isinstance(error, Exception):
                self._set_error(type(error).__qualname__, str(error))
            elif error is not None:  # the caller gave up
                self.span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
            if self._is_own:
                self.span.end()

    def _set_error(self, kind: str, message: str | None) -> None:
        self.span.set_attribute(semconv.ERROR_TYPE, kind)
        self.span.set_status(Status(StatusCode.ERROR, message))

    def _records_content(self) -> bool:
        around = context_attributes.capture(self._runtime.config.capture)
        return self.span.is_recording() and around != "none"

    def _text(self, value: Any) -> str:
        return render(without_media(value, []), self._runtime.config.max_content_chars)


def client_step(runtime: Runtime, method: str, params: Any, request_id: Any = None) -> McpStep:
    """A request that is sent. Where a tool's span is open, and tells of no request yet, it is that one's.

    params: the request's, a model or its JSON.
    """
    attributes = _attributes(method, params, request_id)
    here = context_attributes.here()
    active = trace.get_current_span(here)
    known: Mapping[str, Any] = getattr(active, "attributes", None) or {}
    is_tool = known.get(semconv.OPERATION_NAME) == "execute_tool" and semconv.MCP_METHOD_NAME not in known
    if method == _CALL_TOOL and active.is_recording() and is_tool:
        active.set_attributes({key: value for key, value in attributes.items() if key not in known})
        return McpStep(runtime, method, active, is_own=False)
    span = runtime.tracer.start_span(_name(method, params), here, kind=SpanKind.CLIENT, attributes=attributes)
    step = McpStep(runtime, method, span, is_own=True)
    step.note_arguments(_part(params, "arguments"))
    return step


def server_step(
    runtime: Runtime, method: str, params: Any, meta: Any, request_id: Any, version: Any = None
) -> McpStep:
    """A request that came. meta: its `params._meta`, a model or its JSON."""
    attributes = _attributes(method, params, request_id)
    if isinstance(version, str):
        attributes[semconv.MCP_PROTOCOL_VERSION] = version
    carried = {name: value for name in ("traceparent", "tracestate") if (value := _part(meta, name))}
    remote = trace.get_current_span(_PROPAGATOR.extract(carried, Context())).get_span_context()
    ambient = trace.get_current_span(context_attributes.here()).get_span_context()
    parent: Context | None = None
    links: Sequence[Link] = ()
    if remote.is_valid:
        parent = set_span_in_context(trace.NonRecordingSpan(remote))
        if ambient.is_valid and ambient.span_id != remote.span_id:
            links = (Link(ambient),)
    name = _name(method, params)
    span = runtime.tracer.start_span(name, parent, SpanKind.SERVER, attributes=attributes, links=links)
    step = McpStep(runtime, method, span, is_own=True)
    step.note_arguments(_part(params, "arguments"))
    return step


def _attributes(method: str, params: Any, request_id: Any) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {semconv.MCP_METHOD_NAME: method}
    if method == _CALL_TOOL:
        attributes[semconv.OPERATION_NAME] = "execute_tool"
    part, key = _TARGETS.get(method, ("", ""))
    if part and (target := _part(params, part)) is not None:
        attributes[key] = str(target)
    if request_id is not None:
        attributes[semconv.JSONRPC_REQUEST_ID] = str(request_id)
    return attributes


def _name(method: str, params: Any) -> str:
    target = _part(params, "name")
    return f"{method} {target}" if isinstance(target, str) and method in _TARGETS else method


def _part(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _plain(value: Any) -> Any:
    """JSON of a model. Of an envelope that only holds one of several kinds: what is inside."""
    dump = getattr(value, "model_dump", None)
    return value if dump is None else dump(by_alias=True, mode="json", exclude_none=True)


def _is_tool_error(result: Any) -> bool:
    inner = getattr(result, "root", result)
    return any(_part(inner, name) is True for name in ("isError", "is_error"))
