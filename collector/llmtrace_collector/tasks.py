"""Background threads of the collector, supervised; metrics say what each does and how far it is behind."""

from __future__ import annotations

from collections.abc import Callable

from llmtrace.common.supervised import SupervisedThread

from .metrics import CollectorMetrics

#: What a pass needs may be back any moment, and asking costs little.
_LONGEST_PAUSE = 5.0

#: How long passes of a task may fail, and how long one may take, before the collector is not ready.
_FAILING_SECONDS = 60.0
_STUCK_SECONDS = 300.0


def measure(thread: SupervisedThread, metrics: CollectorMetrics) -> None:
    """Let metrics tell of a thread."""
    failures = metrics.task_failures.labels(thread.name)
    metrics.task_last_success.labels(thread.name).set_function(lambda: thread.last_success)
    metrics.task_lag.labels(thread.name).set_function(lambda: thread.lag)
    thread.on_failure = failures.inc


class PeriodicTask(SupervisedThread):
    """Calls `work` every `interval` seconds. A pass that fails is repeated with growing pauses; none ends it.

    One that is not `is_essential` needs others than the store: that it fails is a warning, and no reason for
    senders to go elsewhere.
    """

    def __init__(
        self,
        name: str,
        interval: float,
        work: Callable[[], object],
        metrics: CollectorMetrics,
        expected: tuple[type[BaseException], ...] = (OSError,),
        *,
        is_essential: bool = True,
    ) -> None:
        longest = max(interval, _LONGEST_PAUSE)
        super().__init__(
            name,
            self._pass,
            pauses=(min(2 * interval, longest), longest),
            expected=expected,
            failing_seconds=max(_FAILING_SECONDS, 3 * interval),
            stuck_seconds=max(_STUCK_SECONDS, 3 * interval),
        )
        self._interval = interval
        self._work = work
        self.is_essential = is_essential
        measure(self, metrics)

    def _pass(self) -> float:
        self.begin()
        self._work()
        return self._interval

    def close(self) -> None:
        """Stop after the pass that is under way."""
        self.stop()
        self.join()
