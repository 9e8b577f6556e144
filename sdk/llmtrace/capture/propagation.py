"""What a request carries to the other side: `traceparent` always, baggage only to hosts that are listed.

Baggage may hold user ids and worse, and OpenTelemetry's default propagators send it to whoever is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY as SUPPRESS_HTTP
from opentelemetry.propagators.textmap import Setter
from opentelemetry.trace import SpanContext

from llmtrace.config import Config
from llmtrace.spans.generator_blocks import Attached

SetHeader = Callable[[str, str], None]
"""Sets one header of a request."""

_BAGGAGE: Final = W3CBaggagePropagator()


class _Setter(Setter[SetHeader]):
    def set(self, carrier: SetHeader, key: str, value: str) -> None:
        carrier(key, value)


_SETTER: Final = _Setter()


def set_trace_headers(span_context: SpanContext, set_header: SetHeader) -> None:
    """The headers that make the receiver's spans children of `span_context`."""
    set_header(
        "traceparent",
        f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-{span_context.trace_flags:02x}",
    )
    if span_context.trace_state:
        set_header("tracestate", span_context.trace_state.to_header())


def set_baggage_header(config: Config, host: str, set_header: SetHeader) -> None:
    """The context's baggage, if it may go to `host`."""
    if config.baggage_hosts and may_have_baggage(config, host):
        _BAGGAGE.inject(set_header, setter=_SETTER)


def may_have_baggage(config: Config, host: str) -> bool:
    """Whether `host` is listed, by name or below `*.name`."""
    name = host.lower().rstrip(".")
    return any(
        name == listed or (listed.startswith("*.") and name.endswith(listed[1:]))
        for listed in config.baggage_hosts
    )


def without_baggage(config: Config, host: str, *, is_quiet: bool = False) -> Attached | None:
    """Take the baggage off the context while a request to `host` is sent, unless it may go there.

    It stays when the application chose its propagators itself (OTEL_PROPAGATORS), which is its word on the
    matter. is_quiet: instrumentation makes no span of its HTTP. None when the context stays as it is.
    """
    context = before = otel_context.get_current()
    if not config.keep_propagators and baggage.get_all() and not may_have_baggage(config, host):
        context = baggage.clear(context)
    elif not is_quiet:
        return None
    entered = otel_context.set_value(SUPPRESS_HTTP, True, context) if is_quiet else context
    return Attached(otel_context.attach(entered), entered, before)
