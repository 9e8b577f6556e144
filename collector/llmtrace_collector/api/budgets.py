"""Endpoints of budgets: what applications ask before a call, and the status of all budgets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request

from llmtrace_collector.accounting.budgets import BudgetAnswer, BudgetQuery, Budgets


def router(budgets: Budgets) -> APIRouter:
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
        own = request.state.identity.project
        project = project or own or "default"
        if own and project != own:
            raise HTTPException(403, "this key is for another project")
        return _ready(budgets.answer(BudgetQuery(user, project, model, service, account, tuple(tag))))

    @routes.get("/v1/budgets")
    async def statuses(every: bool = False) -> BudgetAnswer:
        return _ready(budgets.statuses(every))

    return routes


def _ready(answer: BudgetAnswer | None) -> BudgetAnswer:
    if answer is None:
        raise HTTPException(503, "budgets are being counted for the first time", headers={"Retry-After": "1"})
    return answer
