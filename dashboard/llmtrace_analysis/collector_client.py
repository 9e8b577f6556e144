"""The collector's write endpoints, for the watch and the dashboard."""

from __future__ import annotations

import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import quote

import httpx

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_MAX_UNRECORDED = 1000


Decision = Literal["acknowledge", "resolve"]


class CollectorUnavailable(Exception):
    """The collector cannot take this now; the same call may succeed later. `status`: 0 without an answer."""

    def __init__(self, message: str, status: int = 0, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class KeyRefused(CollectorUnavailable):
    """The collector wants another key."""


class CollectorRefused(Exception):
    """The collector refuses this call as it stands; the message says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text[:300]}")
        self.status = status
        self.text = text


class CollectorClient:
    """Writes incidents and delivery attempts. Every write is idempotent, so each may be repeated."""

    def __init__(self, url: str, key: Callable[[], str | None]) -> None:
        """`key` gives the admin key; asked each time, because the collector may make it after our start."""
        self._key = key
        self._client = httpx.Client(
            base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False, verify=ssl.create_default_context()
        )
        self._unrecorded: deque[dict[str, Any]] = deque(maxlen=_MAX_UNRECORDED)
        self._flush_lock = threading.Lock()

    def put_incident(self, incident_id: str, report: dict[str, Any]) -> None:
        """Write an incident. Raises CollectorUnavailable or CollectorRefused."""
        self._send("PUT", f"/v1/incidents/{quote(incident_id, safe='')}", report)

    def decide(self, incident_id: str, action: Decision, actor: str, note: str) -> None:
        """Acknowledge or resolve an incident. Raises CollectorUnavailable or CollectorRefused."""
        path = f"/v1/incidents/{quote(incident_id, safe='')}/{action}"
        self._send("POST", path, {"actor": actor, "note": note})

    def add_delivery(self, attempt: dict[str, Any]) -> None:
        """Record an attempt to deliver; written later when the collector is unavailable. Raises neither."""
        self._unrecorded.append(attempt)
        self.flush()

    def flush(self) -> None:
        """Write the attempts that are not recorded yet, as far as the collector takes them."""
        with self._flush_lock:
            while self._unrecorded:
                try:
                    self._send("POST", "/v1/deliveries", self._unrecorded[0])
                except CollectorUnavailable:
                    return
                except CollectorRefused as error:
                    logger.warning("delivery_not_recorded reason=%s", error)
                self._unrecorded.popleft()

    def budgets(self) -> list[dict[str, Any]]:
        """The status of each budget that is near its limit or over it; none before the collector has counted.

        Raises CollectorUnavailable or CollectorRefused.
        """
        if (answer := self._send("GET", "/v1/budgets", missing=(404, 503))) is None:
            return []
        statuses: list[dict[str, Any]] = answer.json()["budgets"]
        return statuses

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, missing: tuple[int, ...] = ()
    ) -> httpx.Response | None:
        """The answer; None for one of the statuses that mean there is nothing."""
        key = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._client.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise CollectorUnavailable(f"{type(error).__name__}: {error}") from error
        if response.status_code in missing:
            return None
        if response.status_code >= 500 or response.status_code == 429:
            raise CollectorUnavailable(
                f"it answers {response.status_code}", response.status_code, response.text
            )
        if response.status_code in (401, 403):
            raise KeyRefused(
                f"it answers {response.status_code}: watch needs the admin key, from LLMTRACE_ADMIN_KEY, "
                "[watch] admin_key or admin.key in [watch] data_dir",
                response.status_code,
                response.text,
            )
        if response.is_error:
            raise CollectorRefused(response.status_code, response.text)
        return response

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
