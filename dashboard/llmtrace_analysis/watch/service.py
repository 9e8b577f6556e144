"""`llmtrace watch`: evaluates its rules every few seconds, writes incidents, notifies receivers."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from llmtrace.common.supervised import SupervisedThread
from llmtrace_analysis.alerts.outbox import Outbox
from llmtrace_analysis.collector_client import CollectorClient, CollectorRefused, CollectorUnavailable
from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.cold_start import ColdStart
from llmtrace_analysis.detect.incident_lifecycle import Change, Finding, QuietPeriod, advance, to_report
from llmtrace_analysis.detect.rules import Rule
from llmtrace_analysis.detect.scans.message_scan import MessageScan
from llmtrace_collector.store.incident import Incident

from .health import Health
from .scan_metrics import ScanMetrics

logger = logging.getLogger(__name__)

#: How often watch says how far it is, and how long a thread may take to end.
_REPORT_SECONDS, _END_SECONDS = 5.0, 10.0

#: How long an evaluation may write incidents, seconds.
_WRITE_SECONDS = 1.5

#: How it shows that the store cannot be asked, or not this.
_AWAY = (ClickHouseError, HTTPError, CollectorUnavailable, OSError)


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
        scan: MessageScan | None = None,
        rule_threads: Sequence[SupervisedThread] = (),
        at_end: Sequence[Callable[[], None]] = (),
    ) -> None:
        """`open_reader` connects to the store; called again after the store was not to be reached. `scan`:
        what reads messages for the rules, in a thread of its own; `rule_threads`: those of rules;
        `at_end`: what closes what rules have open, called when no thread of them runs any more.
        """
        self.outbox = outbox
        self.health = health
        self.pace = pace
        self.url = collector.url
        self._open_reader = open_reader
        self._client: Client | None = None
        self._collector = collector
        self._rules = rules
        self._reported_errors: set[str] = set()
        self._failing: dict[str, str] = {}
        """Rule → kind of the error that it failed of last."""
        self._cold_start = ColdStart()
        self.scan = scan
        self._at_end = at_end
        self._reported_at = -math.inf
        self._unreported = False
        self._rules_thread = self._thread("watch rules", self._step)
        self._threads = [self._rules_thread, *rule_threads]
        if scan is not None:
            scanning = self._thread("message scan", lambda: scan.step(scanning.begin))
            self._threads.append(scanning)
            metrics = ScanMetrics(scan, self._threads, outbox.threads, health.registry)
            health.checks.append(metrics.reasons)

    @staticmethod
    def _thread(name: str, step: Callable[[], float]) -> SupervisedThread:
        return SupervisedThread(name, step, expected=(ClickHouseError, HTTPError, OSError))

    def start(self) -> None:
        """Start delivering webhooks."""
        self.outbox.start()

    def start_threads(self) -> None:
        """Start to evaluate and to scan, each at its own pace, until the watch is closed."""
        for thread in self._threads:
            thread.start()

    def demand_threads(self) -> None:
        """Raise RuntimeError when a thread has ended: who supervises the process starts it anew."""
        for thread in (*self._threads, *self.outbox.threads, *self.health.threads):
            if thread.is_dead:
                raise RuntimeError(f"the thread {thread.name!r} of watch has ended")

    def _step(self) -> float:
        """Evaluate once; the seconds to wait before the next time."""
        started = time.monotonic()
        self._rules_thread.begin()
        self.evaluate(time.time())
        return max(0.0, self.pace.interval_seconds - (time.monotonic() - started))

    def evaluate(self, now: float) -> bool:
        """Evaluate every rule once, at `now` (Unix seconds): write what changed, queue what is to be sent.

        False when the collector is unavailable or refuses; it is logged once, and the next evaluation starts
        afresh.
        """
        started = time.monotonic()
        try:
            self._evaluate(now)
        except _AWAY as error:
            self._close_client()
            self._report_unavailable(error)
            self.health.evaluated(False, time.monotonic() - started)
            return False
        except BaseException:
            self._close_client()
            self.health.evaluated(False, time.monotonic() - started)
            raise
        if self._reported_errors:
            logger.info("collector_back url=%s", self.url)
            self._reported_errors.clear()
        seconds = time.monotonic() - started
        self.health.evaluated(True, seconds)
        self._report(seconds)
        return True

    def _evaluate(self, now: float) -> None:
        known_since = self._known_since(now)
        incidents = store_queries.incidents(self._reader(), known_since)
        findings, quiet_periods, failures = self._examine(incidents, now)
        changes = advance(
            self._cold_start.quieted(findings, incidents, now),
            incidents,
            quiet_periods,
            now,
            rest_seconds=self.pace.rest_seconds,
            update_seconds=self.pace.update_seconds,
        )
        try:
            self._write_all(changes)
        except CollectorUnavailable as error:
            # Receivers hear of what is in the store already.
            failures.append(error)
        if self.outbox.receivers:
            if changes:
                incidents = store_queries.incidents(self._reader(), known_since)
            self._notify(self._reader(), incidents, now)
        if failures:
            # What nobody expected is logged with its traceback by the thread.
            raise next((error for error in failures if not isinstance(error, _AWAY)), failures[0])

    def _examine(
        self, incidents: Sequence[Incident], now: float
    ) -> tuple[list[Finding], dict[str, QuietPeriod], list[Exception]]:
        """What every rule sees, and what rules failed of. Raises what the store does when it is away."""
        findings: list[Finding] = []
        quiet_periods: dict[str, QuietPeriod] = {}
        failures: list[Exception] = []
        for rule in self._rules:
            client = self._reader()
            try:
                of_rule = rule.findings(client, incidents, now)
                quiet_periods |= rule.quiet_periods(now)
            except Exception as error:  # noqa: BLE001 - the other rules, and what is to be sent, go on
                failures.append(error)
                self._report_failure(rule, error)
                # An answer may be half read; where there is no store any more, opening another says so.
                self._close_client()
            else:
                findings += of_rule
                self._failing.pop(_name(rule), None)
        return findings, quiet_periods, failures

    def _report_failure(self, rule: Rule, error: Exception) -> None:
        """Log it once for each kind of error of a rule, not every few seconds."""
        name, kind = _name(rule), type(error).__name__
        if self._failing.get(name) != kind:
            self._failing[name] = kind
            reason = " ".join(str(error).split())[:300]
            logger.warning("rule_failed rule=%s reason=%s: %s", name, kind, reason)

    def _report(self, evaluation_seconds: float) -> None:
        """Say how far we are, every few seconds, where the dashboard reads it."""
        if self.scan is None or time.monotonic() - self._reported_at < _REPORT_SECONDS:
            return
        self._reported_at = time.monotonic()
        state = self.scan.state()
        report = {
            "evaluation_seconds": evaluation_seconds,
            "scan_lag_seconds": state.lag_seconds,
            "scanned": state.scanned,
            "suspects": state.suspects,
            "unread": state.unread,
            "given_up": state.given_up,
        }
        try:
            self._collector.report_watch(report)
        except (CollectorUnavailable, CollectorRefused) as error:
            # An older collector, a key of one project, a full disk: the dashboard then has no figures.
            if not self._unreported:
                logger.warning("watch_not_reported url=%s reason=%s", self.url, error)
            self._unreported = True
        else:
            self._unreported = False

    def _known_since(self, now: float) -> float:
        """How far back incidents matter: for bands, for rests and for deliveries."""
        return now - max(self.pace.lookback_seconds, self.pace.rest_seconds, self.outbox.memory_seconds)

    def _notify(self, client: Client, incidents: list[Incident], now: float) -> None:
        self.outbox.sync(incidents, store_queries.deliveries(client, self._known_since(now)), now)

    def _write_all(self, changes: Sequence[Change]) -> None:
        """Write what is most urgent first, for so long at most: rules and receivers wait meanwhile. The next
        evaluation comes upon what is left.
        """
        ends = time.monotonic() + _WRITE_SECONDS
        for number, change in enumerate(sorted(changes, key=_urgency), 1):
            self._write(change)
            if time.monotonic() >= ends and number < len(changes):
                logger.info("incidents_postponed written=%d left=%d", number, len(changes) - number)
                return

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
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _report_unavailable(self, error: Exception) -> None:
        """Log it once for each kind of error, not every few seconds."""
        kind = type(error).__name__
        if kind not in self._reported_errors:
            self._reported_errors.add(kind)
            reason = " ".join(str(error).split())[:300]
            logger.warning("collector_away url=%s reason=%s: %s", self.url, kind, reason)

    def close(self) -> None:
        """Stop evaluating, scanning and delivering, and close the connections."""
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        for close in self._at_end:
            close()
        self.outbox.close()
        if self.scan is not None:
            self.scan.close()
        self._collector.close()
        self._close_client()


def run(watch: Watch, stopping: threading.Event) -> None:
    """Deliver, and evaluate at the watch's pace, until `stopping` is set."""
    interval = watch.pace.interval_seconds
    watch.start()
    logger.info(
        "watching url=%s interval_seconds=%g webhooks=%d", watch.url, interval, len(watch.outbox.receivers)
    )
    watch.start_threads()
    while not stopping.wait(_REPORT_SECONDS):
        watch.demand_threads()


def _name(rule: Rule) -> str:
    return str(getattr(rule, "name", type(rule).__name__))


def _urgency(change: Change) -> tuple[int, bool]:
    return ("open", "resolve", "update").index(change.action), change.incident.severity != "critical"


def _rounded(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
