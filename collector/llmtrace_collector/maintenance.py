"""Upkeep of the store, for administrators: what can be derived is derived anew."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from .auth import Keys, administrator
from .store.store import Store


class Rebuild(BaseModel):
    """Which day's rollup to rebuild; none: every day whose spans are all kept."""

    model_config = ConfigDict(extra="forbid")

    day: date | None = None


def router(store: Store, keys: Keys) -> APIRouter:
    """The routes under /v1/usage. All need the admin key."""
    routes = APIRouter(dependencies=[Depends(administrator(keys))])

    @routes.post("/v1/usage/rebuild")
    def rebuild(request: Rebuild) -> dict[str, list[str]]:
        return {"days": store.rebuild_usage(request.day.isoformat() if request.day else None)}

    return routes
