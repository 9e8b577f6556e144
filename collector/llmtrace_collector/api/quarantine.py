"""The endpoints behind `llmtrace collector quarantine`: what the store refused, why, and once more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathParameter

from llmtrace_collector.ingest.completeness import ArrivalCounts
from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal import WriteAheadLog
from llmtrace_collector.store.store import Store

from .audit import audited

Name = Annotated[str, PathParameter(pattern=r"^[a-z]+-[0-9]+-[0-9a-f]+(\.[0-9]+-[0-9]+)*$", max_length=120)]

#: Requests of one segment that `show` describes at most.
_MAX_REQUESTS = 100


def router(store: Store, wal: WriteAheadLog, arrival_counts: ArrivalCounts) -> APIRouter:
    """The routes under /v1/quarantine."""
    routes = APIRouter()

    def find(name: str) -> Segment:
        segment = wal.quarantined(name)
        if segment is None:
            raise HTTPException(404, f"there is no {name} in the quarantine")
        return segment

    @routes.get("/v1/quarantine")
    def listed() -> dict[str, list[dict[str, Any]]]:
        names = sorted(path.stem for path in wal.quarantine_folder.glob("*.seg"))
        return {"segments": [_summary(segment) for name in names if (segment := wal.quarantined(name))]}

    @routes.get("/v1/quarantine/{name}")
    def show(name: Name) -> dict[str, Any]:
        segment = find(name)
        requests = [
            {
                "project": frame.project,
                "received_at": datetime.fromtimestamp(frame.received / 1e9, UTC).isoformat(),
                "bytes": len(frame.body),
                "rows": len(frame.times),
            }
            for frame in segment.frames()
        ]
        return {**_summary(segment), "count": len(requests), "requests": requests[:_MAX_REQUESTS]}

    @routes.post("/v1/quarantine/{name}/replay")
    def replay(name: Name, request: Request) -> dict[str, str]:
        segment = find(name)
        with audited(store, request, "quarantine.replay", name):
            arrival_counts.count_quarantined(segment, subtract=True)
            wal.replay(name)
        return {"name": name, "state": "queued"}

    return routes


def _summary(segment: Segment) -> dict[str, Any]:
    return {
        "name": segment.token,
        "signal": segment.signal,
        "bytes": segment.path.stat().st_size,
        "reason": segment.reason(),
    }
