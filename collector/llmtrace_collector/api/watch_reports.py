"""What `llmtrace watch` says of itself, kept where the dashboard reads it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from llmtrace_collector.store.store import Store


class WatchReport(BaseModel):
    """How far watch is; counts are since its start."""

    model_config = ConfigDict(extra="forbid")

    evaluation_seconds: float = Field(ge=0, le=1e9)
    scan_lag_seconds: float = Field(ge=0, le=1e9)
    scanned: int = Field(ge=0, lt=1 << 63)
    suspects: int = Field(ge=0, lt=1 << 63)
    unread: int = Field(ge=0, lt=1 << 63)
    given_up: int = Field(ge=0, lt=1 << 63)


def router(store: Store) -> APIRouter:
    """The route POST /v1/watch."""
    routes = APIRouter()

    @routes.post("/v1/watch")
    def add(report: WatchReport) -> dict[str, Any]:
        row = {
            "EvaluationSeconds": report.evaluation_seconds,
            "ScanLagSeconds": report.scan_lag_seconds,
            "Scanned": report.scanned,
            "Suspects": report.suspects,
            "Unread": report.unread,
            "GivenUp": report.given_up,
        }
        store.insert_rows("watch_reports", [row])
        return {}

    return routes
