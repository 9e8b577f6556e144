"""The admin endpoints: blocked users, and other versions of served models. All need the admin key."""

from __future__ import annotations

import hashlib
from contextlib import AbstractAsyncContextManager
from typing import Annotated, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmtrace_inference.access.blocked_users import BlockedUser, BlockList
from llmtrace_inference.protocol.errors import ApiError, from_validation
from llmtrace_inference.serving.model_registry import ModelRegistry
from llmtrace_inference.telemetry.audit import AuditTrail


class BlockRequest(BaseModel):
    """Body of POST /admin/blocks."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user: Annotated[str, Field(min_length=1, max_length=512)]
    seconds: Annotated[float, Field(gt=0, le=366 * 86_400)]
    reason: Annotated[str, Field(max_length=512)] = ""


class ModelRequest(BaseModel):
    """Body of POST /admin/models: another source for a served name, or back to the one before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=512)]
    source: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    rollback: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> ModelRequest:
        if (self.source is None) != self.rollback:
            raise ValueError("give a source, or rollback: true")
        return self


def admin_routes(block_list: BlockList, models: ModelRegistry, audit: AuditTrail) -> APIRouter:
    """`/admin/blocks`: GET lists, POST blocks, DELETE lifts. `/admin/models`: POST replaces.

    What changes something leaves a row in the collector's `audit_log`.
    """
    router = APIRouter(prefix="/admin")

    def audited(
        request: Request, action: str, target: str, detail: str = ""
    ) -> AbstractAsyncContextManager[None]:
        actor: str = request.state.identity
        address = request.client.host if request.client is not None else ""
        return audit.action(actor, address, action, target, detail)

    @router.get("/blocks")
    async def list_blocks() -> Response:
        return JSONResponse({"blocks": [_body(blocked) for blocked in block_list.current()]})

    @router.post("/blocks")
    async def block(request: Request) -> Response:
        wanted = await _parsed(request, BlockRequest)
        detail = f"{wanted.seconds:g} s: {wanted.reason}".removesuffix(": ")
        async with audited(request, "blocks.add", _hashed(wanted.user), detail):
            return JSONResponse(_body(block_list.add(wanted.user, wanted.seconds, wanted.reason)))

    @router.delete("/blocks/{user:path}")
    async def lift(user: str, request: Request) -> Response:
        if all(blocked.user != user for blocked in block_list.current()):
            raise ApiError(404, f"{user!r} is not blocked", code="not_found")
        async with audited(request, "blocks.remove", _hashed(user)):
            block_list.remove(user)
        return JSONResponse({"user": user, "blocked": False})

    @router.post("/models")
    async def replace(request: Request) -> Response:
        wanted = await _parsed(request, ModelRequest)
        if wanted.source is not None:
            async with audited(request, "models.replace", wanted.name, wanted.source):
                engine = await models.replace(wanted.name, wanted.source)
        else:
            async with audited(request, "models.roll_back", wanted.name):
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


Body = TypeVar("Body", bound=BaseModel)


async def _parsed(request: Request, kind: type[Body]) -> Body:
    """The request's body. Raises ApiError."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise from_validation(error) from error


def _hashed(user: str) -> str:
    """As the audit calls a user: it is not a place to keep the name of somebody who is erased."""
    return f"sha256:{hashlib.sha256(user.encode(errors='surrogateescape')).hexdigest()}"


def _body(blocked: BlockedUser) -> dict[str, object]:
    return {"user": blocked.user, "until": blocked.until, "reason": blocked.reason}
