"""The HTTP service: its parts put together, its start and its stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI, Request
from fastapi.responses import Response

from llmtrace.common.http_limits.middleware import HttpLimits
from llmtrace.common.http_limits.server import LimitedServer, limited_config
from llmtrace.common.log_lines import log_to_stderr
from llmtrace_inference.settings import LOG_LEVEL, InferenceSettings

from .access.blocked_users import BlockList
from .api.admin import admin_routes
from .api.batches import batch_routes, file_routes
from .api.limits import arrival_of, limits
from .api.openai_routes import completion_routes, health_routes, model_routes, with_provider_header
from .batches.service import BatchService
from .engine.interface import Engine
from .engine.local.model_source import parse_source
from .protocol.errors import ApiError
from .serving.model_registry import LoadEngine, ModelRegistry
from .serving.service import CompletionService
from .telemetry.audit import AuditTrail
from .telemetry.export import SpanPipeline, collector_pipeline
from .telemetry.gpu import open_sampler
from .telemetry.metrics import Metrics
from .telemetry.spans import SCOPE, RequestTracer

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 2.0
_LEAVE_SECONDS = 1.5
"""How long those that were cut short then have for their last words."""


def load_engine(name: str, source: str, settings: InferenceSettings) -> Engine:
    """Load a model into a continuous batching engine."""
    # Here and not above: importing torch takes seconds, and the port should answer before.
    from .engine.local.continuous_batching import ContinuousBatchingEngine
    from .engine.local.model_loader import load_model

    return ContinuousBatchingEngine(load_model(name, source, settings), settings)


class _Parts:
    """Everything that the service consists of, and the order in which it starts and stops."""

    def __init__(self, settings: InferenceSettings, load: LoadEngine, pipeline: SpanPipeline | None) -> None:
        self.models = ModelRegistry(settings, load)
        engines = self.models.engines
        self.metrics = Metrics(lambda: {n: e.stats() if e is not None else None for n, e in engines.items()})
        if pipeline is None and settings.trace:
            pipeline = collector_pipeline(settings, self.metrics)
        self.pipeline = pipeline
        self.tracer = RequestTracer(
            pipeline.provider.get_tracer(SCOPE) if pipeline is not None else None,
            pipeline.put if pipeline is not None else None,
        )
        self.audit = AuditTrail(settings)
        self.block_list = BlockList(settings.data_dir / "blocks.json")
        self.gpu = open_sampler()
        if self.gpu is not None:
            self.metrics.registry.register(self.gpu)
        self.completions = CompletionService(
            engines, settings, self.tracer, self.metrics, self.block_list, self.gpu
        )
        self.batches = BatchService(settings, engines, self.completions, self.tracer, self.metrics)

    async def begin(self) -> None:
        self.audit.start()
        if self.pipeline is not None:
            self.pipeline.start()
        self.models.begin(self.tracer.tracer)
        await self.batches.begin()

    async def stop_working(self) -> None:
        """End what runs: batches first, for they go on after the restart."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.models.close)
            await self.batches.close()

    async def close(self) -> None:
        """One part that fails leaves out none that follow; its error is raised in the end."""
        async with contextlib.AsyncExitStack() as stack:
            if self.pipeline is not None:
                stack.push_async_callback(asyncio.to_thread, self.pipeline.close, _FLUSH_SECONDS)
            stack.push_async_callback(asyncio.to_thread, self.audit.close, _FLUSH_SECONDS / 2)
            if self.gpu is not None:
                stack.push_async_callback(asyncio.to_thread, self.gpu.close)
            await self.stop_working()


def create_app(
    settings: InferenceSettings,
    *,
    load: LoadEngine = load_engine,
    pipeline: SpanPipeline | None = None,
    on_failed_load: Callable[[Exception], None] | None = None,
) -> FastAPI:
    """The ASGI application. Spans go to `pipeline`; without one to the collector, with settings.trace on.

    `on_failed_load` is called with the reason when a model cannot be loaded; its requests keep getting 503.
    """
    parts = _Parts(settings, load, pipeline)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await parts.begin()
        watch = asyncio.get_running_loop().create_task(_watch_load(parts.models, on_failed_load))
        yield
        watch.cancel()
        await parts.close()

    app = FastAPI(
        title="llmtrace inference",
        lifespan=lifespan,
        openapi_url=None,
        # FastAPI's own spans would stand beside ours where the process has a global tracer provider.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for router in (
        completion_routes(parts.completions, arrival_of),
        model_routes(parts.models),
        file_routes(settings, parts.batches, are_traced=parts.pipeline is not None),
        batch_routes(parts.batches),
        health_routes(parts.models, parts.metrics),
        admin_routes(parts.block_list, parts.models, parts.audit),
    ):
        app.include_router(router)
    app.add_middleware(HttpLimits, rules=limits(settings, parts.completions.refuse))

    @app.exception_handler(ApiError)
    async def refuse(_: Request, error: ApiError) -> Response:
        return with_provider_header(error.response())

    app.state.engines = parts.models.engines
    app.state.request_tracer = parts.tracer
    app.state.flush = parts.pipeline.flush if parts.pipeline is not None else None
    app.state.stop_batches = parts.batches.close
    app.state.close_engines = parts.stop_working
    return app


async def _watch_load(models: ModelRegistry, on_failed: Callable[[Exception], None] | None) -> None:
    while models.failed is None:
        if all(engine is not None for engine in models.engines.values()):
            return
        await asyncio.sleep(0.2)
    if on_failed is not None:
        on_failed(models.failed)


class _Server(LimitedServer):
    """uvicorn that ends running answers with an error they can read, before it would cut them off."""

    def __init__(self, app: FastAPI, settings: InferenceSettings) -> None:
        patience = math.ceil(settings.drain_seconds + _LEAVE_SECONDS)
        super().__init__(
            limited_config(
                app, settings.host, settings.port, log_config=None, timeout_graceful_shutdown=patience
            ),
            settings.max_connections,
        )
        self._drain_seconds = settings.drain_seconds
        self._stop_batches = app.state.stop_batches
        self._close_engines = app.state.close_engines

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._stop_batches()  # what they would compute now is for those who wait for an answer
        closing = asyncio.get_running_loop().create_task(self._close_after_grace())
        await super().shutdown(sockets)
        closing.cancel()

    async def _close_after_grace(self) -> None:
        await asyncio.sleep(self._drain_seconds)
        await self._close_engines()


def serve(settings: InferenceSettings) -> None:
    """Serve until SIGTERM or Ctrl-C; then let running requests end, for `drain_seconds`, and stop. Blocks.

    The port answers at once (`/health/live`); `/health/ready` turns 200 when every model is loaded. Raises
    RuntimeError when a model cannot be loaded; exits with status 1 when the port is taken.
    """
    log_to_stderr(LOG_LEVEL)
    for source in settings.models.values():
        parse_source(source)
    server: _Server
    failures: list[Exception] = []

    def give_up(failure: Exception) -> None:
        failures.append(failure)
        server.should_exit = True

    app = create_app(settings, on_failed_load=give_up)
    server = _Server(app, settings)
    logger.info(
        "inference service on http://%s:%d, loading %s",
        settings.host,
        settings.port,
        ", ".join(settings.models),
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if failures:
        raise RuntimeError(str(failures[0])) from None
