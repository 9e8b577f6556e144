"""The endpoints behind `llmtrace store check` and `llmtrace store ledger`: whether the store holds what it
should, and its repair.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtrace_collector.accounting.store_ledger import StoreLedger
from llmtrace_collector.ingest.wal import WriteAheadLog
from llmtrace_collector.store.integrity.day_counts import totals
from llmtrace_collector.store.integrity.store_check import StoreChecks
from llmtrace_collector.store.store import Store

from .audit import audited


class Check(BaseModel):
    """Whether what is broken should be repaired too; `backups` is a folder of backups on the collector's
    machine, besides its own.
    """

    model_config = ConfigDict(extra="forbid")

    repair: bool = False
    backups: str = Field(default="", max_length=4096)


def router(store: Store, wal: WriteAheadLog, ledger: StoreLedger, checks: StoreChecks) -> APIRouter:
    """The routes under /v1/ledger. All need an admin key of every project."""
    routes = APIRouter()

    @routes.get("/v1/ledger")
    def read() -> dict[str, Any]:
        # In this order nothing that gets further meanwhile is missed: it may be counted twice.
        state, in_log = ledger.state, wal.rows_in_log()
        signals = totals(store)
        for row in signals:
            row["in_log"] = in_log.get(row["signal"], 0)
            # What is counted when it leaves the log is received as soon as it is in it.
            row["received"] += row["in_log"]
        return {
            "signals": signals,
            "differences": [item.sentence() for item in state.differences],
            "unstored": dict(state.unstored),
            "broken_parts": [
                {"table": part.table, "part": part.name, "folder": part.where, "reason": part.reason}
                for part in (*state.set_aside, *state.damaged)
            ],
        }

    @routes.post("/v1/ledger/checks")
    def check(body: Check, request: Request) -> dict[str, Any]:
        if body.repair:
            with audited(store, request, "store.repair", "every table"):
                return asdict(checks.start(repair=True, backups=body.backups))
        with audited(store, request, "store.check", "every table"):
            return asdict(checks.start(repair=False))

    @routes.get("/v1/ledger/checks/{check_id}")
    def progress(check_id: str) -> dict[str, Any]:
        report = checks.get(check_id)
        if report is None:
            raise HTTPException(404, "there is no such check in this process: start it again")
        return asdict(report)

    return routes
