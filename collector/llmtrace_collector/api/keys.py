"""The endpoints behind `llmtrace keys`. Only a key of every project opens them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtrace_collector.access.api_keys import ApiKeyStore, Role, new_key
from llmtrace_collector.access.security_events import SecurityEvents
from llmtrace_collector.store.store import Store

from .audit import audited

#: Names that need no quoting anywhere; empty: every project.
PROJECT = r"^[A-Za-z0-9_.:@/-]*$"


class NewKey(BaseModel):
    """Which key to make. `project` empty: every project; `requests_per_minute` 0: no limit."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field(default="", max_length=128, pattern=PROJECT)
    role: Role
    name: str = Field(default="", max_length=256)
    requests_per_minute: int = Field(default=0, ge=0, le=10_000_000)


def router(store: Store, api_keys: ApiKeyStore, events: SecurityEvents) -> APIRouter:
    """The routes under /v1/keys."""
    routes = APIRouter()

    @routes.post("/v1/keys")
    def create(new: NewKey, request: Request) -> dict[str, Any]:
        key = new_key(new.project, new.role, new.name, new.requests_per_minute)
        detail = f"{key.role} {key.name}".strip()
        with audited(store, request, "keys.create", key.key_id, detail, key.project):
            secret = api_keys.create(key)
        return {**asdict(key), "key": secret}

    @routes.get("/v1/keys")
    def listed() -> dict[str, list[dict[str, Any]]]:
        """Each with its last day of use (`last_used_at`, when it began) and place, null before the first."""
        uses = events.last_uses()
        never = {"last_used_at": None, "last_address": None}
        return {"keys": [{**asdict(key), **uses.get(key.key_id, never)} for key in api_keys.all()]}

    @routes.delete("/v1/keys/{key_id}")
    def revoke(key_id: Annotated[str, Field(max_length=64)], request: Request) -> dict[str, Any]:
        key = api_keys.get(key_id)
        if key is None:
            raise HTTPException(404, f"there is no key {key_id}: `llmtrace keys list` shows them")
        with audited(store, request, "keys.revoke", key_id, project=key.project):
            return asdict(api_keys.revoke(key_id))

    return routes
