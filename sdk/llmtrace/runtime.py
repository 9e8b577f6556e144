"""init, flush, shutdown: what is running, and on whose TracerProvider."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import config as configuration
from . import guard, hooks, http, semconv
from .config import Config
from .delivery.late import otlp_outlet
from .delivery.outlet import Outlet
from .delivery.queue import Delivery, Stats
from .leaf import OwnProvider
from .processor import Processor
from .runtime_type import Runtime

SCOPE: Final = "llmtrace"
_HTTP_SCOPE: Final = "opentelemetry.instrumentation.httpx"


_lock = threading.Lock()
_running: Runtime | None = None
_registered = False
_own_global: tuple[TracerProvider, Processor] | None = None
_attached: weakref.WeakKeyDictionary[trace.TracerProvider, Processor] = weakref.WeakKeyDictionary()


def current() -> Runtime | None:
    """What `init` started, or None."""
    return _running


def init(
    endpoint: str | None = None,
    service_name: str | None = None,
    capture_content: bool | None = None,
    project: str | None = None,
    http_spans: configuration.HttpSpans | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    api_key: str | None = None,
) -> None:
    """Start tracing LLM calls of this process. Call it once, early; a second call changes nothing.

    Never raises and never waits for the network; what goes wrong is logged once by the logger "llmtrace"
    (raised when LLMTRACE_STRICT=1). An argument wins over `LLMTRACE_<ARGUMENT>`, which wins over `OTEL_*`.

    endpoint: collector's base URL, default http://127.0.0.1:4318.
    service_name: `service.name` of the spans.
    capture_content: record messages and tool definitions; default True.
    project: the collector's project to file spans under.
    http_spans: which HTTP calls of httpx and httpx2 get spans of their own: "other" (those that are not
        LLM calls, the default), "all", or "none".
    resource_attributes: further attributes of the resource.
    headers: further headers of export requests.
    api_key: the project's key, sent as `Authorization: Bearer`.
    """
    arguments: dict[str, Any] = {
        "endpoint": endpoint,
        "service_name": service_name,
        "capture_content": capture_content,
        "project": project,
        "http_spans": http_spans,
        "resource_attributes": resource_attributes,
        "headers": headers,
        "api_key": api_key,
    }
    try:
        running = _running
        if running is not None:
            if running.arguments != arguments and any(value is not None for value in arguments.values()):
                guard.warn_once(
                    "init again",
                    "llmtrace.init was called again with other arguments; the first call stands. "
                    "Call llmtrace.shutdown() first to change them.",
                )
            return
        guard.configure(strict=configuration.strict_from_environment())
        config = configuration.resolve(**arguments)
        if not config.disabled:
            start(config, arguments=arguments)
    except Exception as error:  # noqa: BLE001  # the guard: init never breaks the program
        guard.report("init (tracing stays off)", error)


def start(
    config: Config,
    *,
    open_outlet: Callable[[], Outlet] | None = None,
    id_generator: IdGenerator | None = None,
    arguments: Mapping[str, object] | None = None,
) -> Runtime:
    """Start with a resolved configuration; tests pass their own outlet and ids."""
    global _running
    with _lock:
        if _running is not None:
            return _running
        guard.configure(strict=config.strict)
        provider, processor = _provider(config, id_generator)
        scope = InstrumentationScope(SCOPE, _version())
        resource = getattr(provider, "resource", None) or Resource.get_empty()

        def open_otlp() -> Outlet:
            return otlp_outlet()(config, resource, scope)

        delivery = Delivery(config, open_outlet or open_otlp)
        processor.delivery = delivery
        if _own_global is not None:
            _own_global[1].delivery = delivery
        _running = Runtime(
            config,
            delivery,
            provider,
            provider.get_tracer(SCOPE, scope.version),
            scope,
            processor,
            arguments or {},
        )
        _register_process_hooks()
    hooks.install(current)
    return _running


def flush(timeout: float = 10.0) -> bool:
    """Send everything recorded before now; waits at most `timeout` seconds.

    True when all of it was acknowledged by the collector (or nothing was recorded); never raises.
    """
    running = _running
    if running is None:
        return True
    try:
        return running.delivery.flush(timeout)
    except Exception as error:  # noqa: BLE001  # the guard
        guard.report("flush", error)
        return False


def shutdown(timeout: float | None = None) -> bool:
    """Flush for at most `timeout` seconds (default: 5), then stop tracing; `init` may be called again."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is None:
        return True
    try:
        http.remove()
        sent = running.delivery.shutdown(running.config.exit_timeout if timeout is None else timeout)
        running.processor.delivery = None
        if _own_global is not None:
            _own_global[1].delivery = None
    except Exception as error:  # noqa: BLE001  # the guard
        guard.report("shutdown", error)
        return False
    return sent


def stats() -> Stats:
    """How many spans and scores were generated, sent (acknowledged), dropped and are pending."""
    running = _running
    return running.delivery.stats() if running is not None else Stats()


def _provider(config: Config, id_generator: IdGenerator | None) -> tuple[trace.TracerProvider, Processor]:
    """The application's provider with our processor on it, or one of our own."""
    global _own_global
    present = trace.get_tracer_provider()
    foreign = isinstance(present, TracerProvider) and (_own_global is None or present is not _own_global[0])
    if foreign and id_generator is None:
        processor = _attached.get(present)
        if processor is None:
            processor = Processor(scopes=frozenset({SCOPE, _HTTP_SCOPE}))
            present.add_span_processor(processor)  # type: ignore[attr-defined]  # checked by isinstance
            _attached[present] = processor
        return present, processor
    attributes = {**config.resource_attributes}
    if config.service_name:
        attributes[semconv.SERVICE_NAME] = config.service_name
    if config.project:
        attributes[semconv.PROJECT] = config.project
    provider = OwnProvider(
        resource=Resource.create(dict(attributes)), shutdown_on_exit=False, id_generator=id_generator
    )
    processor = Processor()
    provider.add_span_processor(processor)
    provider.shared = False  # that one was ours
    if isinstance(present, trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
        _own_global = (provider, processor)
        if not config.keep_propagators:
            # The default also sends baggage, which may hold anything, to every host that is called.
            propagate.set_global_textmap(TraceContextTextMapPropagator())
    return provider, processor


def _register_process_hooks() -> None:
    global _registered
    if _registered:
        return
    _registered = True
    atexit.register(shutdown)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    guard.after_fork()
    running = _running
    if running is None:
        return
    running.delivery.after_fork()
    # Children of multiprocessing leave by os._exit, which skips atexit; its own finalizers do run.
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(running, _finalize_in_child)


def _finalize_in_child(running: Runtime) -> None:
    util = sys.modules["multiprocessing.util"]
    util.Finalize(None, running.delivery.shutdown, args=(running.config.exit_timeout,), exitpriority=10)


def _version() -> str:
    try:
        return version("llmtrace")
    except PackageNotFoundError:
        return "0"
