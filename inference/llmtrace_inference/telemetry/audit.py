"""What administrators do here, told to the collector, which keeps it in `audit_log`.

A row is on this machine's disk before its action takes effect, and stays there until the collector has it.
One that the collector will not have goes to a folder beside, where somebody can mend and send it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from llmtrace.common.durable_files import make_directory, write_durably
from llmtrace.delivery import (
    Batch,
    DeliveryCounters,
    DeliverySettings,
    Endpoint,
    ExportResult,
    HttpPoster,
    Sender,
    Spool,
    failed_result,
)
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.settings import InferenceSettings

from .export import SERVICE, delivery_settings

logger = logging.getLogger(__name__)

_SPOOL_BYTES: Final = 64 << 20
"""Room for a hundred thousand actions while the collector is away; beyond it they are refused."""

_NEEDS_KEY: Final = frozenset({401, 403, 404, 405})
"""Answers for want of a key, or of a newer collector."""

_NEEDS_TIME: Final = frozenset({408, 425, 429})

_REFUSED: Final = "audit_refused"
"""Folder of rows that the collector will not have, beside that of those which wait."""

_RETRY_SECONDS: Final = 1.0
_TARGET, _TEXT = 1024, 4096
"""Characters that the collector takes of a target, and of a detail or an outcome."""


class AuditTrail:
    """Keeps what administrators do until the collector has it."""

    def __init__(self, settings: InferenceSettings) -> None:
        delivery = delivery_settings(settings)
        url = settings.otlp_endpoint.rstrip("/") + "/v1/audit"
        endpoint = Endpoint(url=url, tls=delivery.endpoints["logs"].tls)
        # The folder is the address's alone: rows that wait for a key that may write them are sent with it.
        spool = replace(
            delivery,
            endpoints=dict.fromkeys(delivery.endpoints, endpoint),
            headers={},
            spool_dir=str(settings.data_dir / "audit"),
            spool_bytes=_SPOOL_BYTES,
        )
        self._sender = Sender(
            spool,
            lambda: _AuditTransport(
                replace(spool, headers=delivery.headers), endpoint, settings.data_dir / _REFUSED
            ),
            DeliveryCounters(),
            Spool(spool, drops_oldest=False),
            warn=self._warn_once,
        )
        self._warned: set[str] = set()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        """Begin to send, what an earlier process left first."""
        self._thread.start()

    @asynccontextmanager
    async def action(
        self, actor: str, address: str, action: str, target: str, detail: str = ""
    ) -> AsyncIterator[None]:
        """Around what changes something: its row is on disk before the block runs.

        Raises ApiError 503, and the block does not run, when it cannot be kept. A block that raises leaves a
        second row of the same id, with the reason as its outcome.
        """
        row = {
            "id": str(uuid.uuid4()),
            "origin": SERVICE,
            "actor": actor,
            "action": action,
            "target": target[:_TARGET],
            "detail": detail[:_TEXT],
            "address": address,
        }
        try:
            await self._keep(row)
        except OSError as error:
            raise ApiError(
                503, f"nothing was done, because its audit row cannot be kept: {error}", code="audit_failed"
            ) from error
        try:
            yield
        except Exception as error:
            # Of other errors only the kind: their texts may quote what should not be kept.
            reason = error.message if isinstance(error, ApiError) else type(error).__name__
            try:
                await self._keep({**row, "outcome": f"failed: {reason}"[:_TARGET]})
            except OSError:
                logger.exception("the audit does not say that %s %s failed", action, target)
            raise

    def close(self, timeout_seconds: float) -> None:
        """Send what is kept, for at most about `timeout_seconds`; the next start sends the rest. Blocks."""
        self._closing = True
        self._sender.set_deadline(time.monotonic() + timeout_seconds)
        self._wake.set()
        if self._thread.is_alive():  # it may not have been started
            self._thread.join(timeout_seconds)

    async def _keep(self, row: dict[str, str]) -> None:
        body = json.dumps([{**row, "at": datetime.now(UTC).isoformat()}]).encode()
        await asyncio.to_thread(self._sender.keep, Batch("logs", 1, body))
        self._wake.set()

    def _run(self) -> None:
        while True:
            settled = False
            try:
                settled = self._sender.replay() and not self._sender.has_leftovers
            except Exception:
                logger.exception("audit rows cannot be sent; they are tried again")
            if self._closing:
                self._sender.close()
                return
            self._wake.wait(None if settled else _RETRY_SECONDS)
            self._wake.clear()

    def _warn_once(self, kind: str, text: str, *arguments: object) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("audit rows: " + text, *arguments)


class _AuditTransport:
    """POSTs rows as JSON. What a later attempt would not change is kept in `refused_folder`."""

    def __init__(self, settings: DeliverySettings, endpoint: Endpoint, refused_folder: Path) -> None:
        self._endpoint = endpoint
        self._refused_folder = refused_folder
        self._poster = HttpPoster(settings, {"content-type": "application/json"})

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        answer = self._poster.post(self._endpoint, batch.payload, timeout)
        if isinstance(answer, ExportResult):
            return answer
        if answer.status_code < 300:
            return ExportResult("acknowledged")
        if answer.status_code in _NEEDS_KEY:
            return ExportResult(
                "retry",
                f"HTTP {answer.status_code}: otlp_api_key should be a key of the role service, [collector] "
                "service_key or one of `llmtrace keys create --role service` (the first key that is "
                "made ends sending without one)",
            )
        result = failed_result(answer)
        if not 400 <= answer.status_code < 500 or answer.status_code in _NEEDS_TIME:
            # A proxy's fault, or one that nobody foresaw: it says nothing against the row.
            return replace(result, kind="retry")
        try:
            file = self._set_aside(batch.payload)
        except OSError as error:
            return ExportResult("retry", f"{result.detail}; it cannot be kept elsewhere: {error}")
        logger.error("the collector refuses an audit row, which is kept in %s: %s", file, result.detail)
        return replace(result, kind="refused")

    def _set_aside(self, body: bytes) -> Path:
        """Keep what was POSTed: the file, on disk."""
        make_directory(self._refused_folder, mode=0o700)
        # By its content, so that what a crash leaves in both folders comes here once.
        file = self._refused_folder / f"{hashlib.sha256(body).hexdigest()[:16]}.json"
        write_durably(file, body)
        return file

    def close(self) -> None:
        self._poster.close()
