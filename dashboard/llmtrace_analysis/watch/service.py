"""`llmtrace watch`: evaluates its rules every few seconds, writes incidents, notifies receivers."""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from llmtrace_analysis.alerts.outbox import Outbox
from llmtrace_analysis.collector_client import (
    CollectorRefused,
    CollectorUnavailable,
    connect,
    connect_reader,
)
from llmtrace_analysis.detect import rules, store_queries
from llmtrace_analysis.detect.budgets import budget_findings, budget_quiet_periods
from llmtrace_analysis.detect.incident_lifecycle import Change, advance, to_report
from llmtrace_analysis.settings import WatchSettings
from llmtrace_collector.store.incident import Incident

from .health import Health, HealthServer

logger = logging.getLogger(__name__)

#: Evaluations that may fail to come before the health port calls watch stuck, and the least time for that.
_PATIENCE_EVALUATIONS, _PATIENCE_SECONDS = 10, 60.0


class Watch:
    """One watcher. State lives in the store; here is only what can be read from it again."""

    def __init__(self, settings: WatchSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._injection_scan = rules.InjectionScan(settings)
        self._collector = connect(settings)
        self._reported_errors: set[str] = set()
        self.outbox = Outbox(settings, self._collector.add_delivery)
        self.health = Health(max(_PATIENCE_SECONDS, _PATIENCE_EVALUATIONS * settings.interval_seconds))

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
            logger.info("collector_back url=%s", self._settings.collector_url)
            self._reported_errors.clear()
        self.health.evaluated(True, time.monotonic() - started)
        return True

    def _evaluate(self, now: float) -> None:
        client, settings = self._reader(), self._settings
        incidents = store_queries.incidents(client, self._known_since(now))
        findings = [
            *rules.anomalies(client, incidents, now, settings),
            *rules.floods(client, now, settings),
            *self._injection_scan.findings(client, now),
            *budget_findings(self._collector.budgets(), now),
        ]
        changes = advance(
            findings,
            incidents,
            {**rules.quiet_periods(now, settings), **budget_quiet_periods(now)},
            now,
            settings,
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
        settings = self._settings
        return now - max(
            settings.lookback_minutes * 60, settings.rest_seconds, settings.webhook_window_minutes * 60
        )

    def _notify(self, client: Client, incidents: list[Incident], now: float) -> None:
        # Twice the window: an attempt is recorded after the event that it reports.
        since = now - 2 * self._settings.webhook_window_minutes * 60
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
            self._client = connect_reader(self._settings)
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
            logger.warning("collector_away url=%s reason=%s: %s", self._settings.collector_url, kind, reason)

    def close(self) -> None:
        """Stop delivering and close the connections."""
        self.outbox.close()
        self._collector.flush()
        self._collector.close()
        self._close_client()


def run(settings: WatchSettings) -> None:
    """Watch until SIGTERM or SIGINT. Raises OSError when the health port is taken."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    watch = Watch(settings)
    server = None
    try:
        if settings.health_port:
            server = HealthServer(watch.health, settings.health_host, settings.health_port)
        watch.start()
        logger.info(
            "watching url=%s interval_seconds=%g webhooks=%d",
            settings.collector_url,
            settings.interval_seconds,
            len(settings.webhooks),
        )
        while not stopping.is_set():
            started = time.monotonic()
            try:
                watch.evaluate(time.time())
            except Exception:
                # A fault of ours in one evaluation must not end the watch; it shows here and in the metrics.
                logger.exception("look_failed")
                watch.health.evaluated(False, time.monotonic() - started)
            stopping.wait(max(0.0, settings.interval_seconds - (time.monotonic() - started)))
    finally:
        watch.close()
        if server is not None:
            server.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    logger.info("stopped")


def _rounded(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
