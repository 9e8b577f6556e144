"""Endpoints of budgets: what applications ask before a call, and the status of all budgets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request

from llmtrace_collector.access.auth import Authenticator, Denied, Identity
from llmtrace_collector.accounting.budgets import BudgetAnswer, BudgetQuery, Budgets


async def _identify(authenticator: Authenticator, request: Request) -> Identity:
    """Whoever may send or read may ask. Raises HTTPException."""
    try:
        return await authenticator.identify(request, "ingest", "read")
    except Denied as denied:
        raise HTTPException(denied.status, "a key that may send or read is needed") from denied


def router(budgets: Budgets, authenticator: Authenticator) -> APIRouter:
    """The routes GET /v1/budget, for keys that may send or read, and GET /v1/budgets, for those that may read
    every project."""
    routes = APIRouter()

    @routes.get("/v1/budget")
    async def budget(
        request: Request,
        user: str = "",
        project: str = "",
        model: str = "",
        service: str = "",
        account: str = "",
        tag: Annotated[list[str], Query(max_length=32)] = [],  # noqa: B006 - FastAPI copies it
    ) -> BudgetAnswer:
        identity = await _identify(authenticator, request)
        project = project or identity.project or "default"
        if identity.project and project != identity.project:
            raise HTTPException(403, "this key is for another project")
        return _ready(budgets.answer(BudgetQuery(user, project, model, service, account, tuple(tag))))

    @routes.get("/v1/budgets")
    async def statuses(request: Request, every: bool = False) -> BudgetAnswer:
        try:
            identity = await authenticator.identify(request, "read")
        except Denied as denied:
            raise HTTPException(denied.status, "a key that may read is needed") from denied
        if identity.project:
            raise HTTPException(403, "budgets span projects: this key is for one alone")
        return _ready(budgets.statuses(every))

    return routes


def _ready(answer: BudgetAnswer | None) -> BudgetAnswer:
    if answer is None:
        raise HTTPException(503, "budgets are being counted for the first time", headers={"Retry-After": "1"})
    return answer
