"""The admin endpoints: blocked users, and other versions of served models. All need the admin key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmtrace_inference.access.auth import require_admin
from llmtrace_inference.access.blocked_users import BlockedUser, BlockList
from llmtrace_inference.protocol.errors import ApiError, from_validation
from llmtrace_inference.serving.model_registry import ModelRegistry
from llmtrace_inference.settings import InferenceSettings


class BlockRequest(BaseModel):
    """Body of POST /admin/blocks."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user: Annotated[str, Field(min_length=1, max_length=512)]
    seconds: Annotated[float, Field(gt=0, le=366 * 86_400)]
    reason: Annotated[str, Field(max_length=512)] = ""


class ModelRequest(BaseModel):
    """Body of POST /admin/models: another source for a served name, or back to the one before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)] | None = None
    rollback: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> ModelRequest:
        if (self.source is None) != self.rollback:
            raise ValueError("give a source, or rollback: true")
        return self


def admin_routes(settings: InferenceSettings, block_list: BlockList, models: ModelRegistry) -> APIRouter:
    """`/admin/blocks`: GET lists, POST blocks, DELETE lifts. `/admin/models`: POST replaces."""
    router = APIRouter(prefix="/admin")

    @router.get("/blocks")
    async def list_blocks(request: Request) -> Response:
        require_admin(request.headers, settings.admin_key)
        return JSONResponse({"blocks": [_body(blocked) for blocked in block_list.current()]})

    @router.post("/blocks")
    async def block(request: Request) -> Response:
        require_admin(request.headers, settings.admin_key)
        try:
            wanted = BlockRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise from_validation(error) from error
        return JSONResponse(_body(block_list.add(wanted.user, wanted.seconds, wanted.reason)))

    @router.delete("/blocks/{user:path}")
    async def lift(user: str, request: Request) -> Response:
        require_admin(request.headers, settings.admin_key)
        if not block_list.remove(user):
            raise ApiError(404, f"{user!r} is not blocked", code="not_found")
        return JSONResponse({"user": user, "blocked": False})

    @router.post("/models")
    async def replace(request: Request) -> Response:
        require_admin(request.headers, settings.admin_key)
        try:
            wanted = ModelRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise from_validation(error) from error
        if wanted.source is not None:
            engine = await models.replace(wanted.name, wanted.source)
        else:
            engine = await models.roll_back(wanted.name)
        return JSONResponse(
            {
                "name": wanted.name,
                "source": models.source(wanted.name),
                "version": engine.info.version,
                "weights_hash": engine.info.weights_hash,
            }
        )

    return router


def _body(blocked: BlockedUser) -> dict[str, object]:
    return {"user": blocked.user, "until": blocked.until, "reason": blocked.reason}
