"""The endpoints behind `llmtrace collector quarantine`: what the store refused or is damaged in the log, why,
and once more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathParameter

from llmtrace_collector.ingest.completeness import ArrivalCounts
from llmtrace_collector.ingest.log_damage import Damage
from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal import WriteAheadLog
from llmtrace_collector.store.store import Store

from .audit import audited

Name = Annotated[
    str, PathParameter(pattern=r"^[a-z]+-[0-9]+-[0-9a-f]+(\.[0-9]+-[0-9]+)*(\.at-[0-9]+)?$", max_length=120)
]

#: Requests of one segment that `show` describes at most.
_MAX_REQUESTS = 100


def router(store: Store, wal: WriteAheadLog, arrival_counts: ArrivalCounts) -> APIRouter:
    """The routes under /v1/quarantine."""
    routes = APIRouter()

    def find(name: str) -> Segment | Damage:
        try:
            held = wal.quarantine.damage(name) or wal.quarantine.segment(name)
        except ValueError as error:
            raise HTTPException(409, f"{error}: delete it once you have seen it") from error
        if held is None:
            raise HTTPException(404, f"there is no {name} in the quarantine")
        return held

    @routes.get("/v1/quarantine")
    def listed() -> dict[str, list[dict[str, Any]]]:
        return {"segments": [summary(name) for name in wal.quarantine.names()]}

    def summary(name: str) -> dict[str, Any]:
        try:
            return _summary(wal.quarantine.damage(name) or wal.quarantine.segment(name), name)
        except (OSError, ValueError) as error:  # the others should be listed all the same
            return {"name": name, "signal": name.split("-", 1)[0], "bytes": 0, "reason": str(error)}

    @routes.get("/v1/quarantine/{name}")
    def show(name: Name) -> dict[str, Any]:
        if name not in wal.quarantine.names():
            raise HTTPException(404, f"there is no {name} in the quarantine")
        held = wal.quarantine.segment(name)
        requests = [
            {
                "project": frame.project,
                "received_at": datetime.fromtimestamp(frame.received / 1e9, UTC).isoformat(),
                "bytes": len(frame.body),
                "rows": len(frame.times),
            }
            for frame in (held.frames() if held is not None else ())
            if frame.body
        ]
        return {"count": len(requests), **summary(name), "requests": requests[:_MAX_REQUESTS]}

    @routes.post("/v1/quarantine/{name}/replay")
    def replay(name: Name, request: Request) -> dict[str, str]:
        held = find(name)
        if isinstance(held, Damage) or not held.path.is_file():
            raise HTTPException(409, f"nothing in {name} can be read, so that nothing can be replayed")
        with audited(store, request, "quarantine.replay", name):
            arrival_counts.note_replay(held)
            wal.replay(name)
        return {"name": name, "state": "queued"}

    @routes.delete("/v1/quarantine/{name}")
    def delete(name: Name, request: Request) -> dict[str, str]:
        if name not in wal.quarantine.names():
            raise HTTPException(404, f"there is no {name} in the quarantine")
        with audited(store, request, "quarantine.delete", name):
            wal.quarantine.delete(name)
        return {"name": name, "state": "deleted"}

    return routes


def _summary(held: Segment | Damage | None, name: str) -> dict[str, Any]:
    if isinstance(held, Damage):
        return {
            "name": name,
            "signal": held.signal,
            "bytes": held.size,
            "reason": held.reason,
            "count": held.requests,
            "rows": held.rows,
            "services": {service: rows for _, service, _, rows in held.owners},
            "has_bytes": held.has_bytes,
        }
    if held is None:
        return {
            "name": name,
            "signal": name.split("-", 1)[0],
            "bytes": 0,
            "reason": "what was refused was not kept",
        }
    reason = held.reason()
    return {
        "name": name,
        "signal": held.signal,
        "bytes": held.path.stat().st_size if held.path.exists() else 0,
        "reason": reason,
    }
