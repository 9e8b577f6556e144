"""Whether the collector takes what it is sent: known to all threads of a sender, and told once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from .exporter import ExportResult
from .settings import DeliverySettings

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0

Warn = Callable[..., None]


class CollectorState:
    """As the last attempt of any thread found it."""

    def __init__(self, settings: DeliverySettings, warn: Warn, *, has_spool: bool) -> None:
        self._settings = settings
        self._warn = warn
        self._has_spool = has_spool
        self._pause = _FIRST_PAUSE
        self.is_away = False
        """It answers nothing, or not in time: batches go to disk at once."""
        self.next_attempt = 0.0
        """When to try again (monotonic seconds)."""
        self.hurry = threading.Event()
        """Somebody waits for new spans: pauses are cut short."""
        self.replays_now = threading.Event()
        """Somebody waits for what is on disk."""
        self.deadline: float | None = None
        """From then on (monotonic seconds) nothing waits any more; None: the process goes on."""

    def answered(self) -> None:
        """An attempt came back with an answer."""
        self.is_away, self._pause = False, _FIRST_PAUSE

    def failed(self, result: ExportResult) -> None:
        """An attempt failed: it is away until one succeeds, and the pauses between attempts grow."""
        self.warn_of(result)
        self.is_away = True
        self.next_attempt = time.monotonic() + (result.retry_after or self._pause * jitter())
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def attempt_timeout(self) -> float:
        """Seconds that one attempt may take."""
        if self.deadline is None:
            return self._settings.request_timeout
        remaining = self.deadline - time.monotonic()
        return min(self._settings.request_timeout, max(remaining, 0.1))

    def is_over(self) -> bool:
        """Whether the process ends and its time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def warn_of(self, result: ExportResult) -> None:
        """Say why nothing arrives."""
        if result.certificate_refused:
            self._warn(
                "certificate",
                "Nothing is sent, and batches are kept until this is mended: %s.",
                result.detail,
            )
            return
        self._warn(
            "unreachable",
            "No acknowledgement from %s (%s). Batches are kept and sent again%s; is the "
            "collector running there (`llmtrace up`), or is the address (LLMTRACE_ENDPOINT) wrong?",
            self._settings.endpoints["traces"].url,
            result.detail,
            f" for {self._settings.retry_for:.0f} s" if not self._has_spool else "",
        )


def jitter() -> float:
    """About 1, so that many senders do not come at once."""
    return random.uniform(0.8, 1.2)  # noqa: S311
