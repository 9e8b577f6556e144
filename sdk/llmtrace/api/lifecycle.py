"""Start, flush, shutdown: what is running, and on whose TracerProvider."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import llmtrace
from llmtrace import config as configuration
from llmtrace import internal_errors, semconv
from llmtrace.capture import other_http, program_logs
from llmtrace.capture.hooks import install
from llmtrace.capture.llm_span import OwnProvider
from llmtrace.capture.runtime import Runtime
from llmtrace.config import Config
from llmtrace.delivery.counters_report import ReportSource
from llmtrace.delivery.exporter import Exporter
from llmtrace.delivery.lazy_import import otlp_exporter
from llmtrace.delivery.queue import DeliveryWorker
from llmtrace.delivery.span_processor import Processor
from llmtrace.delivery.spool import Spool
from llmtrace.delivery.stats import Stats
from llmtrace.internal_errors import swallow
from llmtrace.redaction.redactor import Redactor
from llmtrace.spans import handover, other_tracers
from llmtrace.spans.finished_spans import SCOPE
from llmtrace.spans.sampling import TailSampler

from . import open_spans, process_hooks, sigterm

_HTTP_SCOPE: Final = "opentelemetry.instrumentation.httpx"


_lock = threading.RLock()  # a signal handler may interrupt its holder
_runtime: Runtime | None = None
_instead: Callable[[], Exporter] | None = None
_own_global: tuple[TracerProvider, Processor] | None = None
_watched: weakref.ref[trace.TracerProvider] | None = None
_attached: weakref.WeakKeyDictionary[trace.TracerProvider, Processor] = weakref.WeakKeyDictionary()


def current() -> Runtime | None:
    """What `init` started, or None."""
    return _runtime


def deliver_to(open_exporter: Callable[[], Exporter] | None) -> Callable[[], Exporter] | None:
    """Where everything that starts from now on delivers, instead of to the collector; for tests. Returns what
    was set before; None is the collector.
    """
    global _instead
    before, _instead = _instead, open_exporter
    return before


def start_once(arguments: Mapping[str, Any]) -> None:
    """Start with the arguments of `init`, unless it runs already or is disabled."""
    runtime = _runtime
    if runtime is not None:
        if _instead is not None:
            return  # a test captures, as it was set up to
        if runtime.arguments != arguments and any(value is not None for value in arguments.values()):
            internal_errors.warn_once(
                "init again",
                "llmtrace.init was called again with other arguments; the first call stands. "
                "Call llmtrace.shutdown() first to change them.",
            )
        return
    internal_errors.configure(strict=configuration.is_strict(arguments["strict"]))
    config = configuration.resolve(**arguments)
    if not config.disabled:
        start(config, arguments=arguments)


def start(
    config: Config,
    *,
    open_exporter: Callable[[], Exporter] | None = None,
    id_generator: IdGenerator | None = None,
    arguments: Mapping[str, object] | None = None,
) -> Runtime:
    """Start with a resolved configuration; tests pass their own exporter and ids."""
    global _runtime
    open_exporter = open_exporter or _instead
    with _lock:
        if _runtime is not None:
            return _runtime
        internal_errors.configure(strict=config.strict)
        provider, processor = _provider(config, id_generator)
        scope = InstrumentationScope(SCOPE, llmtrace.__version__)
        resource = getattr(provider, "resource", None) or Resource.get_empty()

        def open_otlp() -> Exporter:
            return otlp_exporter()(config.delivery, resource, scope)

        to_collector = open_exporter is None
        keeps = config.delivery.spool_dir and config.delivery.spool_bytes
        spool = Spool(config.delivery) if to_collector and keeps else None
        redactor = Redactor(secrets=config.redact_secrets, pii=config.redact_pii, functions=config.redact)
        delivery_worker = DeliveryWorker(
            config.delivery,
            open_exporter or open_otlp,
            spool=spool,
            reports=ReportSource(_as_sent(resource, config), scope) if to_collector else None,
            redactor=redactor,
            open_sampler=_sampler(config),
            attachment_bytes=config.attachment_bytes,
        )
        processor.delivery_worker = delivery_worker
        if _own_global is not None:
            _own_global[1].delivery_worker = delivery_worker
        _runtime = Runtime(
            config,
            delivery_worker,
            provider,
            provider.get_tracer(SCOPE, scope.version),
            scope,
            processor,
            redactor,
            arguments or {},
        )
        process_hooks.register(_runtime, current=current, renew_locks=_renew_locks)
    install.install(current)
    if config.logs:
        program_logs.install(
            program_logs.ProgramLogs(
                delivery_worker, level=config.logs_level, per_second=config.logs_per_second
            )
        )
    handover.enable()
    delivery_worker.resume()
    return _runtime


def flush(timeout: float = 10.0) -> bool:
    """Send everything recorded before now; waits at most `timeout` seconds.

    True when all of it was acknowledged by the collector (or nothing was recorded); never raises.
    """
    runtime = _runtime
    if runtime is None:
        return True
    with swallow("flush"):
        return runtime.delivery_worker.flush(timeout)
    return False


def shutdown(timeout: float | None = None) -> bool:
    """Flush for at most `timeout` seconds (default: 5), then stop tracing; `init` may be called again."""
    global _runtime
    runtime = _runtime
    if runtime is None:
        return True
    seconds = runtime.config.exit_timeout if timeout is None else timeout
    with swallow("shutdown"), sigterm.waiting(seconds):
        with _lock:
            if _runtime is not runtime:
                return True  # another thread does it
            _runtime = None
        other_http.remove()
        program_logs.remove()
        open_spans.end_all()
        sent = runtime.delivery_worker.shutdown(seconds)
        runtime.processor.delivery_worker = None
        if _own_global is not None:
            _own_global[1].delivery_worker = None
        return sent
    return False


def disable() -> None:
    """Stop tracing now: what was recorded is sent, the hooks come off the HTTP libraries.

    `init` starts again. Unlike `shutdown`, nothing of this package stays in the path of a call.
    """
    shutdown()
    with swallow("taking the hooks off"):
        install.remove()
        handover.remove()


def stats() -> Stats:
    """How many spans and log records were generated, sent (acknowledged), dropped and are pending, and which
    libraries are hooked.
    """
    runtime = _runtime
    with swallow("reading the counters"):
        if runtime is not None:
            return replace(runtime.delivery_worker.stats(), hooks=install.status())
    return Stats()


def _provider(config: Config, id_generator: IdGenerator | None) -> tuple[trace.TracerProvider, Processor]:
    """The application's provider with our processor on it, or one of our own."""
    global _own_global, _watched
    existing = trace.get_tracer_provider()
    foreign = isinstance(existing, TracerProvider) and (_own_global is None or existing is not _own_global[0])
    if foreign and id_generator is None:
        processor = _attached.get(existing)
        if processor is None:
            processor = Processor(scopes=frozenset({SCOPE, _HTTP_SCOPE}))
            existing.add_span_processor(processor)  # type: ignore[attr-defined]  # checked by isinstance
            _attached[existing] = processor
        return existing, processor
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
    if not isinstance(existing, TracerProvider) and hasattr(existing, "add_span_processor"):
        if _watched is None or _watched() is not existing:
            existing.add_span_processor(other_tracers.ForeignSpanWatcher(lambda: _runtime is not None))
            _watched = weakref.ref(existing)
    elif isinstance(existing, trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
        _own_global = (provider, processor)
        if not config.keep_propagators:
            # The default also sends baggage, which may hold anything, to every host that is called.
            propagate.set_global_textmap(TraceContextTextMapPropagator())
    return provider, processor


def _as_sent(resource: Resource, config: Config) -> Resource:
    return Resource({**resource.attributes, **config.delivery.resource_attributes}, resource.schema_url)


def _sampler(config: Config) -> Callable[[], TailSampler] | None:
    if config.sample_rate == 1.0 and not config.rules:
        return None
    return lambda: TailSampler(config.sample_rate, config.rules, config.keep_slower_than)


def _renew_locks() -> None:
    global _lock
    _lock = threading.RLock()
    program_logs.after_fork()
