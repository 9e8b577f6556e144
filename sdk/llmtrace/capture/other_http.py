"""Spans of HTTP calls that are not LLM calls (tools, retrieval), by opentelemetry-instrumentation-httpx.

Installed at the first such call: a program that only talks to models never pays for its import.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import propagate, trace

from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes
from llmtrace.spans.generator_blocks import Attached

from . import propagation
from .runtime import Runtime

_MCP_ACCEPTS: Final = "application/json, text/event-stream"

Hook = tuple[type, str, Callable[[Any], Any]]
"""Class, method, what wraps it."""

above_instrumentation: dict[str, tuple[Hook, ...]] = {}
"""By library: hooks on methods that the instrumentation wraps as well. They go on top of it too, so that a
call is begun before it makes a span of its HTTP.
"""
_above: list[tuple[type, str, Any, Any]] = []
_instrumented: list[Any] = []
_installed_for: Runtime | None = None


def other_call(runtime: Runtime, request: Any) -> Attached | None:
    """Called before any request that is not a recorded LLM call is sent; what it returns is left then."""
    host = request.url.host
    propagation.set_baggage_header(runtime.config, host, request.headers.__setitem__)
    is_mcp = _is_mcp(request.headers)
    attached = propagation.without_baggage(runtime.config, host, is_quiet=is_mcp)
    if runtime.config.http_spans != "none" and not is_mcp:
        install(runtime)
    else:
        here = context_attributes.here()
        if trace.get_current_span(here).get_span_context().is_valid:
            propagate.inject(request.headers, here)
    return attached


def _is_mcp(headers: Any) -> bool:
    """Whether it carries a message of MCP, which has a span of its own where the other task sent it."""
    return headers.get("accept", "") == _MCP_ACCEPTS or "mcp-session-id" in headers


def install(runtime: Runtime) -> None:
    """Instrument httpx and httpx2 where the application did not do so itself."""
    global _installed_for
    if _installed_for is runtime:
        return
    remove()
    _installed_for = runtime
    from opentelemetry.instrumentation import httpx as instrumentation

    for library, name in (("httpx", "HTTPXClientInstrumentor"), ("httpx2", "HTTPX2ClientInstrumentor")):
        kind = getattr(instrumentation, name, None)
        if kind is None or library not in sys.modules:
            continue
        instrumentor = kind()
        if instrumentor.is_instrumented_by_opentelemetry:
            continue
        instrumentor.instrument(tracer_provider=runtime.provider, skip_dep_check=True)
        _instrumented.append(instrumentor)
        for owner, method, wrapped in above_instrumentation.get(library, ()):
            below = getattr(owner, method)
            above = wrapped(below)
            setattr(owner, method, above)
            _above.append((owner, method, above, below))


def remove() -> None:
    """Take our instrumentation off again."""
    global _installed_for
    _installed_for = None
    while _above:
        owner, method, above, below = _above.pop()
        if owner.__dict__.get(method) is above:
            setattr(owner, method, below)
    while _instrumented:
        with swallow("removing HTTP instrumentation"):
            _instrumented.pop().uninstrument()
