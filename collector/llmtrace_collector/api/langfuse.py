"""What Langfuse's SDK asks for beside sending spans: whether its keys are good, by the projects they open.

Its spans come as OTLP on a path of their own (`ingest.otlp_http`). It signs in by HTTP Basic: the secret key
is a key of ours, and the public key, which names nothing here, is not looked at.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

PROJECTS_PATH = "/api/public/projects"


def router() -> APIRouter:
    """The route GET /api/public/projects, for keys that may send: `Langfuse().auth_check()` wants one project
    at least. A key of every project has the one that spans without a name of their own go to.
    """
    routes = APIRouter()

    @routes.get(PROJECTS_PATH)
    async def projects(request: Request) -> dict[str, Any]:
        name = request.state.identity.project or "default"
        owner = {"id": "llmtrace", "name": "llmtrace"}
        return {"data": [{"id": name, "name": name, "organization": owner, "metadata": {}}]}

    return routes
