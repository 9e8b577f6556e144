"""A webhook receiver on this machine that checks every signature."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

_MAX_BODY = 1 << 20


@dataclass(frozen=True)
class ReceivedWebhook:
    """One delivery: its id, event type, the incident in it, and whether its signature was right."""

    id: str
    type: str
    incident: dict[str, Any]
    verified: bool


class WebhookSink:
    """Receives webhooks on a free loopback port while it is entered."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._verifier = Webhook(self.secret)
        self._received: list[ReceivedWebhook] = []
        self._lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("content-length", 0)), _MAX_BODY))
                verified = sink._take(body, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(204 if verified else 401)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the demo's report lists the deliveries."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo-webhooks", daemon=True)

    @property
    def url(self) -> str:
        """Where to POST events."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/llmtrace"

    @property
    def received(self) -> list[ReceivedWebhook]:
        """Deliveries so far, in order."""
        with self._lock:
            return list(self._received)

    def _take(self, body: bytes, headers: dict[str, str]) -> bool:
        try:
            event = self._verifier.verify(body, headers)
            verified = True
        except WebhookVerificationError:
            event, verified = _unverified(body), False
        data = event.get("data", {})
        incident = data.get("incident", data) if isinstance(data, dict) else {}
        with self._lock:
            self._received.append(
                ReceivedWebhook(headers.get("webhook-id", ""), str(event.get("type", "")), incident, verified)
            )
        return verified

    def __enter__(self) -> WebhookSink:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _unverified(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
