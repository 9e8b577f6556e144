"""Endpoints of backups: make one, list them, read one back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathParameter

from llmtrace.common.sealed_files import EncryptionKeys, SealBroken
from llmtrace_collector.store.backup import (
    BackupIncomplete,
    BackupRefused,
    Backups,
    NoRoom,
    NoSuchBackup,
    new_name,
)
from llmtrace_collector.store.store import Store

from .audit import audited

Name = Annotated[str, PathParameter(pattern=r"^[0-9]{8}-[0-9]{6}$")]


def router(store: Store, folder: Path, keys: EncryptionKeys | None) -> APIRouter:
    """The routes under /v1/backups, which are encrypted with `keys`."""
    routes = APIRouter()
    backups = Backups(store, folder, keys)

    @routes.post("/v1/backups")
    def create(request: Request) -> dict[str, Any]:
        name = new_name()
        with audited(store, request, "store.backup", name):
            try:
                return backups.create(name)
            except NoRoom as error:
                raise HTTPException(503, str(error)) from error
            except BackupRefused as error:
                raise HTTPException(409, str(error)) from error
            except (BackupIncomplete, SealBroken) as error:
                raise HTTPException(500, str(error)) from error

    @routes.get("/v1/backups")
    def listed() -> dict[str, list[dict[str, Any]]]:
        return {"backups": backups.all()}

    @routes.post("/v1/backups/{name}/restore")
    def restore(name: Name, request: Request) -> dict[str, Any]:
        with audited(store, request, "store.restore", name):
            try:
                return backups.restore(name)
            except NoSuchBackup as error:
                raise HTTPException(404, str(error)) from error
            except BackupRefused as error:
                raise HTTPException(409, str(error)) from error
            except (BackupIncomplete, SealBroken) as error:
                raise HTTPException(500, str(error)) from error

    return routes
