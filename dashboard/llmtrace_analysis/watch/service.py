"""`llmtrace watch`: evaluates its rules every few seconds, writes incidents, notifies receivers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from llmtrace_analysis.alerts.outbox import Outbox
from llmtrace_analysis.collector_client import CollectorClient, CollectorRefused, CollectorUnavailable
from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.incident_lifecycle import Change, Finding, QuietPeriod, advance, to_report
from llmtrace_analysis.detect.rules import Rule
from llmtrace_collector.store.incident import Incident

from .health import Health

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often watch evaluates, and how far back it remembers."""

    interval_seconds: float
    lookback_seconds: float
    """History that rules compare with."""
    rest_seconds: float
    """How long an incident that was resolved is not opened anew."""
    update_seconds: float
    """Least time between two updates of an incident that goes on."""


class Watch:
    """One watcher. State lives in the store; here is only what can be read from it again."""

    def __init__(
        self,
        open_reader: Callable[[], Client],
        collector: CollectorClient,
        rules: Sequence[Rule],
        outbox: Outbox,
        health: Health,
        pace: Pace,
    ) -> None:
        """`open_reader` connects to the store; called again after the store was not to be reached."""
        self.outbox = outbox
        self.health = health
        self.pace = pace
        self.url = collector.url
        self._open_reader = open_reader
        self._client: Client | None = None
        self._collector = collector
        self._rules = rules
        self._reported_errors: set[str] = set()

    def start(self) -> None:
        """Start delivering webhooks."""
        self.outbox.start()

    def evaluate(self, now: float) -> bool:
        """Evaluate every rule once, at `now` (Unix seconds): write what changed, queue what is to be sent.

        False when the collector is unavailable or refuses; it is logged once, and the next evaluation starts
        afresh.
        """
        started = time.monotonic()
        try:
            self._evaluate(now)
        except (ClickHouseError, HTTPError, CollectorUnavailable, OSError) as error:
            self._close_client()
            self._report_unavailable(error)
            self.health.evaluated(False, time.monotonic() - started)
            return False
        if self._reported_errors:
            logger.info("collector_back url=%s", self.url)
            self._reported_errors.clear()
        self.health.evaluated(True, time.monotonic() - started)
        return True

    def _evaluate(self, now: float) -> None:
        client = self._reader()
        incidents = store_queries.incidents(client, self._known_since(now))
        findings: list[Finding] = []
        quiet_periods: dict[str, QuietPeriod] = {}
        for rule in self._rules:
            findings += rule.findings(client, incidents, now)
            quiet_periods |= rule.quiet_periods(now)
        changes = advance(
            findings,
            incidents,
            quiet_periods,
            now,
            rest_seconds=self.pace.rest_seconds,
            update_seconds=self.pace.update_seconds,
        )
        for change in changes:
            self._write(change)
        self._collector.flush()
        if self.outbox.receivers:
            if changes:
                incidents = store_queries.incidents(client, self._known_since(now))
            self._notify(client, incidents, now)

    def _known_since(self, now: float) -> float:
        """How far back incidents matter: for bands, for rests and for deliveries."""
        return now - max(self.pace.lookback_seconds, self.pace.rest_seconds, self.outbox.window_seconds)

    def _notify(self, client: Client, incidents: list[Incident], now: float) -> None:
        # Twice the window: an attempt is recorded after the event that it reports.
        since = now - 2 * self.outbox.window_seconds
        self.outbox.sync(incidents, store_queries.deliveries(client, since), now)

    def _write(self, change: Change) -> None:
        incident = change.incident
        try:
            self._collector.put_incident(incident.incident_id, to_report(change))
        except CollectorRefused as error:
            logger.error("incident_refused incident=%s reason=%s", incident.incident_id, error)  # noqa: TRY400
            return
        self.health.changes.labels(change.action, incident.rule).inc()
        if change.action != "update":
            logger.info(
                "incident_%s incident=%s rule=%s severity=%s project=%r observed=%s expected_high=%s",
                {"open": "opened", "resolve": "resolved"}[change.action],
                incident.incident_id,
                incident.rule,
                incident.severity,
                incident.project,
                _rounded(incident.observed),
                _rounded(incident.expected_high),
            )

    def _reader(self) -> Client:
        if self._client is None:
            self._client = self._open_reader()
        return self._client

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _report_unavailable(self, error: Exception) -> None:
        """Log it once for each kind of error, not every few seconds."""
        kind = type(error).__name__
        if kind not in self._reported_errors:
            self._reported_errors.add(kind)
            reason = " ".join(str(error).split())[:300]
            logger.warning("collector_away url=%s reason=%s: %s", self.url, kind, reason)

    def close(self) -> None:
        """Stop delivering and close the connections."""
        self.outbox.close()
        self._collector.flush()
        self._collector.close()
        self._close_client()


def run(watch: Watch, stopping: threading.Event) -> None:
    """Deliver, and evaluate at the watch's pace, until `stopping` is set."""
    interval = watch.pace.interval_seconds
    watch.start()
    logger.info(
        "watching url=%s interval_seconds=%g webhooks=%d", watch.url, interval, len(watch.outbox.receivers)
    )
    while not stopping.is_set():
        started = time.monotonic()
        try:
            watch.evaluate(time.time())
        except Exception:
            # A fault of ours in one evaluation must not end the watch; it shows here and in the metrics.
            logger.exception("look_failed")
            watch.health.evaluated(False, time.monotonic() - started)
        stopping.wait(max(0.0, interval - (time.monotonic() - started)))


def _rounded(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
