"""MLflow's application behind a check of hosts and web pages; MLflow finds it as the app `llmtrace`.

MLflow's own check lets every page of this machine, whatever its port, read and write.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from llmtrace.common.http_limits.refusal import Refusal
from llmtrace.common.http_limits.request_headers import HostRule, OriginRule, RequestHeaders

ALLOWED_HOSTS: Final = "MLFLOW_SERVER_ALLOWED_HOSTS"
"""Where MLflow's command puts `--allowed-hosts` for its worker."""

_API = ("/api/", "/ajax-api/", "/graphql", "/gateway/", "/v1/", "/mlflow-artifacts", "/get-artifact")

_HEADERS: Final = (
    (b"content-security-policy", b"frame-ancestors 'self'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class OwnPages:
    """ASGI middleware: MLflow answers its own pages and programs, and no other web page."""

    def __init__(self, app: App, hosts: Iterable[str]) -> None:
        """`hosts`: names, with or without a port, that it may be called by besides loopback's."""
        self._app = app
        names = (host.partition(":")[0] for host in hosts if not host.startswith("["))
        self._hosts = HostRule("127.0.0.1", names, "[mlflow] allowed_hosts")
        self._origins = OriginRule((), "")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse or pass on."""
        if scope["type"] != "http" or scope["path"] == "/health":  # probes call by the address alone
            await self._app(scope, receive, send)
            return
        headers = RequestHeaders(scope)
        try:
            self._hosts.check(headers)
            if not _is_followed_link(scope, headers):
                self._origins.check(headers, for_browsers=False, is_page=True, method=scope["method"])
        except Refusal as refusal:
            await _answer(refusal, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in _HEADERS}
                others = [
                    (name, value)
                    for name, value in message.get("headers", ())
                    if name.lower() not in names and not name.lower().startswith(b"access-control-")
                ]
                message = {**message, "headers": [*others, *_HEADERS]}
            await send(message)

        await self._app(scope, receive, send_protected)


def _is_followed_link(scope: Message, headers: RequestHeaders) -> bool:
    """Whether a link of another page, the dashboard's for instance, leads to a page of MLflow's."""
    return (
        scope["method"] == "GET"
        and headers.get(b"sec-fetch-mode") == "navigate"
        and headers.get(b"sec-fetch-dest") == "document"
        and not scope["path"].startswith(_API)
    )


async def _answer(refusal: Refusal, send: Send) -> None:
    body = f"{refusal}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def create_app() -> OwnPages:
    """What MLflow's worker serves. Loads all of MLflow."""
    from mlflow.server.fastapi_app import app

    return OwnPages(app, os.environ.get(ALLOWED_HOSTS, "").split(","))
