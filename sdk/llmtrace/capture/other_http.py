"""Spans of HTTP calls that are not LLM calls (tools, retrieval), by opentelemetry-instrumentation-httpx.

Installed at the first such call: a program that only talks to models never pays for its import.
"""

from __future__ import annotations

import sys
from typing import Any

from opentelemetry import propagate, trace

from llmtrace.internal_errors import swallow
from llmtrace.spans import generator_blocks
from llmtrace.spans.generator_blocks import Attached

from . import propagation
from .runtime import Runtime

_instrumented: list[Any] = []
_installed_for: Runtime | None = None


def other_call(runtime: Runtime, request: Any) -> Attached | None:
    """Called before any request that is not a recorded LLM call is sent; what it returns is left then."""
    host = request.url.host
    propagation.set_baggage_header(runtime.config, host, request.headers.__setitem__)
    attached = propagation.without_baggage(runtime.config, host)
    if runtime.config.http_spans != "none":
        install(runtime)
    else:
        here = generator_blocks.current()
        if trace.get_current_span(here).get_span_context().is_valid:
            propagate.inject(request.headers, here)
    return attached


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


def remove() -> None:
    """Take our instrumentation off again."""
    global _installed_for
    _installed_for = None
    while _instrumented:
        with swallow("removing HTTP instrumentation"):
            _instrumented.pop().uninstrument()
