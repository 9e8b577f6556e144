"""Background tasks of the collector: one pass every so often, failures counted and tried again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from .metrics import CollectorMetrics

logger = logging.getLogger(__name__)

#: What a pass needs may be back any moment, and asking costs little.
_LONGEST_PAUSE = 5.0


class PeriodicTask:
    """Runs `work` every `interval` seconds in a thread of its own. A pass that fails is logged once per
    spell of failures and repeated with growing pauses; it never ends the task.
    """

    def __init__(
        self, name: str, interval: float, work: Callable[[], object], metrics: CollectorMetrics
    ) -> None:
        self._name = name
        self._interval = interval
        self._work = work
        self._failures = metrics.task_failures.labels(name)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"llmtrace-{name}", daemon=True)

    def start(self) -> None:
        """Begin with a pass at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the pass that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        failed = 0
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception as error:
                failed += 1
                self._failures.inc()
                if failed == 1:
                    logger.warning("%s failed and will be tried again: %s", self._name, error)
                logger.debug("%s failed", self._name, exc_info=True)
            else:
                if failed:
                    logger.info("%s works again after %d failed passes", self._name, failed)
                failed = 0
            self._stopping.wait(
                min(self._interval * 2 ** min(failed, 6), max(self._interval, _LONGEST_PAUSE))
            )
