"""The endpoint of quotas: what the settings say that providers allow."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel

from llmtrace_collector.quota_settings import Quota


class QuotaAnswer(BaseModel):
    """The quotas under [[collector.quotas]], in their order."""

    quotas: list[Quota]


def router(quotas: Sequence[Quota]) -> APIRouter:
    """The route GET /v1/quotas, for keys that may read: of the settings, and no project's."""
    routes = APIRouter()
    answer = QuotaAnswer(quotas=list(quotas))

    @routes.get("/v1/quotas")
    async def configured() -> QuotaAnswer:
        return answer

    return routes
