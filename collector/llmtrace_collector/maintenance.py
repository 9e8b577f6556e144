"""Upkeep of the store, for administrators: what can be derived is derived anew."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from .audit import audit
from .auth import Doors, owner
from .store.store import Store


class Rebuild(BaseModel):
    """Which day's rollup to rebuild; none: every day whose spans are all kept."""

    model_config = ConfigDict(extra="forbid")

    day: date | None = None


def router(store: Store, doors: Doors) -> APIRouter:
    """The routes under /v1/usage. All need the admin key."""
    routes = APIRouter(dependencies=[Depends(owner(doors))])

    @routes.post("/v1/usage/rebuild")
    def rebuild(asked: Rebuild, request: Request) -> dict[str, list[str]]:
        days = store.rebuild_usage(asked.day.isoformat() if asked.day else None)
        audit(store, request, "usage.rebuild", " ".join(days))
        return {"days": days}

    return routes
