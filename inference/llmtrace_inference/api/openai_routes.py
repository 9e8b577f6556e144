"""The routes of completions, embeddings, models and health; those of batches and of the admin stand apart."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Scope

from llmtrace.semconv import PROVIDER_LLMTRACE
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.serving.model_registry import ModelRegistry
from llmtrace_inference.serving.service import CompletionService
from llmtrace_inference.serving.steps import Arrival
from llmtrace_inference.telemetry.metrics import Metrics

PROVIDER_HEADER = "x-llmtrace-provider"


def with_provider_header(response: Response) -> Response:
    """With the header by which the SDK names the provider rightly."""
    response.headers[PROVIDER_HEADER] = PROVIDER_LLMTRACE
    return response


def completion_routes(service: CompletionService, arrival_of: Callable[[Scope], Arrival]) -> APIRouter:
    """`POST /v1/chat/completions`, `/v1/completions` and `/v1/embeddings`."""
    router = APIRouter(prefix="/v1")

    @router.post("/chat/completions")
    @router.post("/completions")
    @router.post("/embeddings")
    async def answer(request: Request) -> Response:
        return with_provider_header(await service.answer(request, arrival_of(request.scope)))

    return router


def model_routes(models: ModelRegistry) -> APIRouter:
    """`GET /v1/models` and `/v1/models/{name}`."""
    router = APIRouter(prefix="/v1/models")
    created = int(time.time())

    def body(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": created, "owned_by": PROVIDER_LLMTRACE}

    @router.get("")
    async def list_models() -> Response:
        return with_provider_header(
            JSONResponse({"object": "list", "data": [body(name) for name in models.engines]})
        )

    @router.get("/{name:path}")
    async def get_model(name: str) -> Response:
        if name not in models.engines:
            raise ApiError(404, f"model {name!r} is not served here", code="model_not_found")
        return with_provider_header(JSONResponse(body(name)))

    return router


def health_routes(models: ModelRegistry, metrics: Metrics) -> APIRouter:
    """`GET /health/live`, `/health/ready` and `/metrics`."""
    router = APIRouter()

    @router.get("/health/live")
    async def live() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/health/ready")
    async def ready() -> Response:
        states = {
            name: engine is not None and engine.stats().healthy for name, engine in models.engines.items()
        }
        everything = all(states.values())
        status = "ok" if everything else "unavailable"
        return JSONResponse({"status": status, "models": states}, 200 if everything else 503)

    @router.get("/metrics")
    async def prometheus() -> Response:
        return PlainTextResponse(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
