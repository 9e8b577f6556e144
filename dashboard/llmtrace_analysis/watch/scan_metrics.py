"""What the scan of messages and the threads of watch say to Prometheus and to readiness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmtrace.common.health import HealthReason
from llmtrace.common.supervised import SupervisedThread
from llmtrace_analysis.detect.scans.message_scan import MessageScan

#: From which lag on the scan is a reason not to be ready, seconds.
_MOST_LAG = 30.0


class ScanMetrics(Collector):
    """Reads the scan and the threads when it is asked."""

    def __init__(
        self,
        scan: MessageScan,
        threads: Sequence[SupervisedThread],
        others: Sequence[SupervisedThread],
        registry: CollectorRegistry,
    ) -> None:
        """`others`: threads that tell readiness themselves."""
        self._scan = scan
        self._own = threads
        self._threads = [*threads, *others]
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The samples now."""
        state = self._scan.state()
        yield GaugeMetricFamily(
            "llmtrace_watch_scan_lag_seconds",
            "How long the oldest call whose messages may not have been scanned has been in the store.",
            state.lag_seconds,
        )
        yield GaugeMetricFamily(
            "llmtrace_watch_scan_share",
            "Calls whose messages were scanned, of those that arrived since the start.",
            state.share,
        )
        yield GaugeMetricFamily(
            "llmtrace_watch_unread_messages", "Calls whose messages wait for the scan.", state.unread
        )
        messages = CounterMetricFamily(
            "llmtrace_watch_messages",
            "Calls whose messages were scanned or could not be read.",
            labels=["result"],
        )
        messages.add_metric(["scanned"], state.scanned)
        messages.add_metric(["given_up"], state.given_up)
        yield messages
        yield CounterMetricFamily(
            "llmtrace_watch_suspects", "Calls whose messages the store could not leave out.", state.suspects
        )
        success = GaugeMetricFamily(
            "llmtrace_task_last_success_timestamp_seconds",
            "When the thread last ended a piece of work well, Unix time.",
            labels=["task"],
        )
        lag = GaugeMetricFamily(
            "llmtrace_task_lag_seconds",
            "How long the thread has been at what it has not ended; 0 when there is nothing to do.",
            labels=["task"],
        )
        for thread in self._threads:
            success.add_metric([thread.name], thread.last_success)
            lag.add_metric([thread.name], thread.lag)
        yield success
        yield lag

    def reasons(self) -> list[HealthReason]:
        """Why watch is not well for its own threads and the scan."""
        reasons = [reason for thread in self._own if (reason := thread.reason())]
        state = self._scan.state()
        if state.lag_seconds > _MOST_LAG:
            text = (
                f"the scan of messages is {state.lag_seconds:.0f} s behind what arrived, {state.unread} "
                "calls wait: it catches up by itself once the store answers and less arrives; see watch's log"
            )
            reasons.append(HealthReason("watch-scan-behind", text))
        return reasons
