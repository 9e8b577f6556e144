"""The HTTP service: routes, keys, loading of models, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from llmtrace_inference.admin import admin_routes
from llmtrace_inference.auth import authenticate
from llmtrace_inference.blocks import BlockList
from llmtrace_inference.engine import Engine
from llmtrace_inference.errors import ApiError
from llmtrace_inference.export import SpanPipeline
from llmtrace_inference.gpu import open_sampler
from llmtrace_inference.measured import PROVIDER
from llmtrace_inference.metrics import Metrics
from llmtrace_inference.models import LoadEngine, Models
from llmtrace_inference.service import CompletionService, Operation
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.sources import parse_source
from llmtrace_inference.tracing import RequestTracer

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0
_GRACE_SECONDS = 1.5
"""How long running requests may go on after the signal to stop."""
PROVIDER_HEADER = "x-llmtrace-provider"


def load_engine(name: str, source: str, settings: InferenceSettings) -> Engine:
    """Load a model into a continuous batching engine."""
    # Here and not above: importing torch takes seconds, and the port should answer before.
    from llmtrace_inference.cb import ContinuousBatchingEngine
    from llmtrace_inference.model import load_model

    return ContinuousBatchingEngine(load_model(name, source, settings), settings)


def create_app(
    settings: InferenceSettings,
    *,
    load: LoadEngine = load_engine,
    provider: TracerProvider | None = None,
    on_failed_load: Callable[[Exception], None] | None = None,
) -> FastAPI:
    """The ASGI application. Spans go to `provider`, or over OTLP without one and with settings.trace on.

    `on_failed_load` is called with the reason when a model cannot be loaded; its requests keep getting 503.
    """
    models = Models(settings, load)
    metrics = Metrics(lambda: {n: e.stats() if e is not None else None for n, e in models.engines.items()})
    pipeline = None
    if provider is None and settings.trace:
        pipeline = SpanPipeline(settings, on_lost=metrics.spans_lost.inc)
        provider = pipeline.provider
    tracer = RequestTracer(provider, capture_content=settings.capture_content)
    blocks = BlockList(settings.data_dir / "blocks.json")
    gpu = open_sampler()
    if gpu is not None:
        metrics.registry.register(gpu)
    service = CompletionService(models.engines, settings, tracer, metrics, blocks, gpu)
    created = int(time.time())

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        models.begin(tracer.tracer)
        watch = asyncio.get_running_loop().create_task(_watch_load(models, on_failed_load))
        yield
        watch.cancel()
        await models.close()
        if gpu is not None:
            await asyncio.to_thread(gpu.close)
        if pipeline is not None:
            await asyncio.to_thread(pipeline.close, _FLUSH_SECONDS)

    app = FastAPI(
        title="llmtrace inference",
        lifespan=lifespan,
        openapi_url=None,
        # FastAPI's own spans would stand beside ours where the process has a global tracer provider.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.include_router(admin_routes(settings, blocks, models))
    app.state.engines = models.engines
    app.state.request_tracer = tracer
    app.state.close_engines = models.close

    async def complete(request: Request, operation: Operation) -> Response:
        response = await service.answer(request, operation, authenticate(request.headers, settings))
        response.headers[PROVIDER_HEADER] = PROVIDER
        return response

    @app.exception_handler(ApiError)
    async def refuse(_: Request, error: ApiError) -> Response:
        response = error.response()
        response.headers[PROVIDER_HEADER] = PROVIDER
        return response

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await complete(request, "chat")

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await complete(request, "text_completion")

    @app.post("/v1/embeddings")
    async def embed(request: Request) -> Response:
        response = await service.embed(request, authenticate(request.headers, settings))
        response.headers[PROVIDER_HEADER] = PROVIDER
        return response

    @app.get("/v1/models")
    async def list_models(request: Request) -> Response:
        authenticate(request.headers, settings)
        data = [
            {"id": name, "object": "model", "created": created, "owned_by": PROVIDER}
            for name in models.engines
        ]
        return JSONResponse({"object": "list", "data": data}, headers={PROVIDER_HEADER: PROVIDER})

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str, request: Request) -> Response:
        authenticate(request.headers, settings)
        if name not in models.engines:
            raise ApiError(404, f"model {name!r} is not served here", code="model_not_found")
        return JSONResponse({"id": name, "object": "model", "created": created, "owned_by": PROVIDER})

    @app.get("/health/live")
    async def live() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/health/ready")
    async def ready() -> Response:
        states = {
            name: engine is not None and engine.stats().healthy for name, engine in models.engines.items()
        }
        everything = all(states.values())
        return JSONResponse(
            {"status": "ok" if everything else "unavailable", "models": states}, 200 if everything else 503
        )

    @app.get("/metrics")
    async def prometheus() -> Response:
        return PlainTextResponse(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


async def _watch_load(models: Models, on_failed: Callable[[Exception], None] | None) -> None:
    while models.failed is None:
        if all(engine is not None for engine in models.engines.values()):
            return
        await asyncio.sleep(0.2)
    if on_failed is not None:
        on_failed(models.failed)


class _Server(uvicorn.Server):
    """uvicorn that ends running answers with an error they can read, before it would cut them off."""

    def __init__(self, app: FastAPI, settings: InferenceSettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=3,
            )
        )
        self._close_engines = app.state.close_engines

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        closing = asyncio.get_running_loop().create_task(self._close_after_grace())
        await super().shutdown(sockets)
        closing.cancel()

    async def _close_after_grace(self) -> None:
        await asyncio.sleep(_GRACE_SECONDS)
        await self._close_engines()


def serve(settings: InferenceSettings) -> None:
    """Serve until SIGTERM or Ctrl-C; then stop within about five seconds. Blocks.

    The port answers at once (`/health/live`); `/health/ready` turns 200 when every model is loaded. Raises
    RuntimeError when a model cannot be loaded; exits with status 1 when the port is taken.
    """
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=False,
    )
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
