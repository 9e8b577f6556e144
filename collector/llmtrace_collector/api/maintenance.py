"""Upkeep of the store, for administrators: what can be derived is derived anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtrace_collector.access.api_keys import hashed
from llmtrace_collector.ingest.wal import WriteAheadLog
from llmtrace_collector.store.erasure import Eraser
from llmtrace_collector.store.store import Store

from .audit import audited

_WAIT_SECONDS = 20.0

_STATS = """SELECT
    table,
    toInt64(sum(rows)) AS rows,
    toInt64(sum(bytes_on_disk)) AS bytes_on_disk,
    toInt64(sum(data_uncompressed_bytes)) AS bytes_uncompressed,
    toInt64(count()) AS parts
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY bytes_on_disk DESC
SETTINGS output_format_json_quote_64bit_integers = 0"""


class Rebuild(BaseModel):
    """Which day's rollup to rebuild; none: every day whose spans are all kept."""

    model_config = ConfigDict(extra="forbid")

    day: date | None = None


class Erase(BaseModel):
    """Whom to erase; `project` empty: in every project; `dry_run` only counts."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(min_length=1, max_length=1024)
    project: str = Field(default="", max_length=256)
    dry_run: bool = False


def router(store: Store, wal: WriteAheadLog, disk_full: Callable[[], str]) -> APIRouter:
    """The routes under /v1/usage, /v1/erasures and /v1/stats. All need an admin key of every project.

    `disk_full` says why what is in the log waits for space; empty while it does not.
    """
    eraser = Eraser(store, disk_full)
    routes = APIRouter()

    @routes.post("/v1/usage/rebuild")
    def rebuild(body: Rebuild, request: Request) -> dict[str, list[str]]:
        day = body.day.isoformat() if body.day else None
        with audited(store, request, "usage.rebuild", day or "every day"):
            return {"days": store.rebuild_usage(day)}

    @routes.post("/v1/erasures")
    def erase(body: Erase, request: Request) -> dict[str, Any]:
        if body.dry_run:
            return {"state": "dry run", "counts": eraser.count(body.user, body.project)}
        # What was acknowledged before now is to be erased as well. What waits for space would wait for this.
        unstored = _unstored(wal, disk_full)
        if unstored and not disk_full():
            raise HTTPException(
                503,
                "the log holds what is not stored yet, and may name the user: /health/ready says what the "
                "store waits for; try again when that is over",
                {"Retry-After": "5"},
            )
        # The audit log is not a place to keep the name of someone erased.
        with audited(store, request, "store.delete", f"sha256:{hashed(body.user)}", project=body.project):
            erasure = eraser.start(body.user, body.project)
        return {
            **asdict(erasure),
            "quarantined_segments": len(list(wal.quarantine_folder.glob("*.seg"))),
            "unstored_segments": unstored,
        }

    @routes.get("/v1/erasures/{erasure_id}")
    def progress(erasure_id: str) -> dict[str, Any]:
        erasure = eraser.get(erasure_id)
        if erasure is None:
            raise HTTPException(404, "there is no such erasure in this process: start it again")
        return asdict(erasure)

    @routes.get("/v1/stats")
    def stats() -> dict[str, list[dict[str, Any]]]:
        text = store.engine.execute(_STATS + " FORMAT JSONEachRow")
        return {"tables": [json.loads(line) for line in text.splitlines()]}

    return routes


def _unstored(wal: WriteAheadLog, disk_full: Callable[[], str]) -> int:
    """Wait a little until the log is empty or holds only what came since; how many segments of before are
    left then. Those that wait for space are not waited for.
    """
    before = {path.name for path in wal.segments()}
    deadline = time.monotonic() + _WAIT_SECONDS
    while left := before & {path.name for path in wal.segments()}:
        if disk_full() or time.monotonic() > deadline:
            return len(left)
        time.sleep(0.05)
    return 0
