"""What administrators did, kept in the table `audit_log`: the collector's own actions and other services'.

A row is written before its action takes effect; where it cannot be written, nothing is done.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from llmtrace_collector.access.identity import Identity
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.store import Store

logger = logging.getLogger(__name__)

#: `Origin` of the collector's own rows, which no other service may use.
ORIGIN = "collector"

#: Of one request.
MAX_ROWS = 1000

#: How far another service's clock may be ahead before its rows say so.
_AHEAD_SECONDS = 60.0

#: From when to when (2001, 2286) seconds since 1970 have ten digits, as the engine reads them. A machine that
#: does not know the time begins in 1970.
_EARLIEST, _LATEST = 1_000_000_000.0, 9_999_999_999.0

_MAX_OUTCOME = 1024


class AuditRow(BaseModel):
    """What an administrator of another service did there; `at` with its zone, whatever its clock said.

    `outcome` empty: about to be done; otherwise why what was told by a row of the same `id` was not.
    """

    model_config = ConfigDict(extra="forbid")

    id: uuid.UUID
    at: AwareDatetime
    origin: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="The service in which it was done.")
    actor: str = Field(min_length=1, max_length=256)
    action: str = Field(max_length=64, pattern=r"^[a-z_]+(\.[a-z_]+)+$")
    target: str = Field(max_length=1024)
    detail: str = Field(default="", max_length=4096)
    address: str = Field(default="", max_length=64)
    outcome: str = Field(default="", max_length=_MAX_OUTCOME)

    @field_validator("origin")
    @classmethod
    def _is_not_ours(cls, origin: str) -> str:
        if origin.lower() == ORIGIN:
            raise ValueError("the collector's own rows are written by the collector alone")
        return origin

    @property
    def key(self) -> tuple[str, str, str]:
        """By which a repeat is known."""
        return self.origin, str(self.id), self.outcome


_ROWS = TypeAdapter(Annotated[list[AuditRow], Field(min_length=1, max_length=MAX_ROWS)])

_KNOWN = "SELECT Origin, Id, Outcome FROM audit_log WHERE Id IN {ids:Array(UUID)}"


@contextmanager
def audited(
    store: Store, request: Request, action: str, target: str, detail: str = "", project: str = ""
) -> Iterator[None]:
    """Around what changes something: the row of `request`'s key is on disk before the block runs.

    Raises HTTPException 503, and the block does not run, when it cannot be written. A block that raises
    leaves a second row of the same Id with the reason.
    """
    identity = request.state.identity
    row = {
        "Project": project or identity.project,
        "At": f"{time.time():.3f}",
        "KeyId": identity.key_id,
        "Action": action,
        "Target": target,
        "Detail": detail,
        "Address": identity.address,
        "Id": str(uuid.uuid4()),
        "Origin": ORIGIN,
        "Actor": identity.actor,
    }
    try:
        store.insert_rows("audit_log", [row])
    except StoreError as error:
        raise HTTPException(
            503, f"nothing was done, because the audit log cannot be written: {error}", {"Retry-After": "5"}
        ) from error
    try:
        yield
    except Exception as error:
        # Of other errors only the kind: their texts may quote what should not be kept here.
        reason = str(error) if isinstance(error, HTTPException) else type(error).__name__
        failed = {**row, "At": f"{time.time():.3f}", "Outcome": f"failed: {reason}"[:_MAX_OUTCOME]}
        try:
            store.insert_rows("audit_log", [failed])
        except StoreError:
            logger.exception("the audit log does not say that %s %s failed", action, target)
        raise


def router(store: Store) -> APIRouter:
    """The route POST /v1/audit, for keys of the role `service`: rows of what was done in other services.

    A 200 means that every row is on disk, once, however often it is sent; of a body with one bad row nothing
    is stored. The rows bear the id of the key that they came with, and its project.
    """
    routes = APIRouter()
    lock = threading.Lock()

    def write(rows: list[AuditRow], identity: Identity) -> dict[str, int]:
        new = {row.key: row for row in rows}
        with lock:
            for known in store.rows(_KNOWN, {"ids": [row.id for row in rows]}):
                new.pop((known["Origin"], known["Id"], known["Outcome"]), None)
            store.insert_rows("audit_log", [_columns(row, identity) for row in new.values()])
        return {"stored": len(new), "known": len(rows) - len(new)}

    @routes.post("/v1/audit")
    async def add(request: Request) -> dict[str, int]:
        identity: Identity = request.state.identity
        try:
            rows = _ROWS.validate_json(await request.body())
        except ValidationError as error:
            raise HTTPException(422, _sentence(error)) from error
        try:
            return await run_in_threadpool(write, rows, identity)
        except StoreError as error:
            raise HTTPException(
                503, f"the audit log cannot be written: {error}", {"Retry-After": "5"}
            ) from error

    return routes


def _columns(row: AuditRow, identity: Identity) -> dict[str, Any]:
    """The row as it is stored. One whose time cannot be says so in its `Detail`: a clock that is wrong is no
    reason to lose what was done."""
    stated, received = row.at.timestamp(), time.time()
    detail = row.detail
    if not _EARLIEST <= stated < received + _AHEAD_SECONDS:
        arrival = datetime.fromtimestamp(received, UTC).isoformat(timespec="seconds")
        detail = f"{detail} [its clock said {row.at.isoformat()}, it came at {arrival}]".lstrip()
    return {
        "Project": identity.project,
        "At": f"{stated if _EARLIEST <= stated < _LATEST else received:.3f}",
        "KeyId": identity.key_id,
        "Action": row.action,
        "Target": row.target,
        "Detail": detail,
        "Address": row.address,
        "Id": str(row.id),
        "Origin": row.origin,
        "Actor": row.actor,
        "Outcome": row.outcome,
    }


def _sentence(error: ValidationError) -> str:
    """What is wrong with the first field that is."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    row, *fields = first["loc"] or ("",)
    place = f"row {row}: {'.'.join(map(str, fields))}: " if isinstance(row, int) else ""
    return f"nothing was stored: {place}{first['msg']}"
