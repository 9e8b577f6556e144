"""A rule of one's own, evaluated: what it reads, what is outside, and the words for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect.incident_lifecycle import Finding, QuietPeriod
from llmtrace_analysis.rule_settings import AlertRule
from llmtrace_collector.store.incident import Incident

from .evidence import example_traces
from .judgement import Outside, Unusual, judge
from .objectives import ObjectiveHistory, burning
from .readings import Reading, read, read_over, step_of
from .wording import group_finding, objective_finding, overflow_finding

#: A value is read this often at most, and at least; of a window a tenth, seconds.
_FASTEST, _SLOWEST, _PER_WINDOW = 10, 60, 10

#: It is over when it was not outside for so many readings.
_CALM_READINGS = 2

#: What anomalies learn from, seconds, and how many windows of it at most.
_LEARNED, _MOST_WINDOWS = 14 * 86_400, 4000

_COMPARED = {"day": 86_400, "week": 7 * 86_400}


class OwnRule:
    """One rule of people's, as the watch evaluates it."""

    def __init__(self, settings: AlertRule) -> None:
        self._settings = settings
        self.name = settings.rule
        self._pace = min(max(settings.window_seconds // _PER_WINDOW, _FASTEST), _SLOWEST)
        self._read_at = -math.inf
        self._examined_until = 0.0
        self._findings: list[Finding] = []
        self._history = ObjectiveHistory(settings)
        self._unusual = Unusual()

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """See `Rule`. Between two readings it says what the last one showed."""
        if not self._settings.enabled:
            return []
        if 0 <= now - self._read_at < self._pace:
            return self._findings
        at = int(now) // 10 * 10
        known = {item.fingerprint for item in incidents if item.state != "resolved"}
        self._findings = [
            self._with_examples(client, finding, known, at) for finding in self._examined(client, at)
        ]
        self._read_at = now
        return self._findings

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over when it was not outside for some readings."""
        if not self._settings.enabled or not self._examined_until:
            return {}
        return {self.name: QuietPeriod(self._examined_until, float(_CALM_READINGS * self._pace))}

    def _examined(self, client: Client, now: int) -> list[Finding]:
        settings = self._settings
        if settings.objective is not None:
            burns = burning(settings, self._history.minutes(client, now), now)
            self._examined_until = float(now)
            return [objective_finding(settings, burns, now)] if burns else []
        result = read(client, settings, now)
        has_data = any(reading.count for reading in result.readings)
        if has_data or settings.no_data != "keep":
            self._examined_until = float(now)
        outside = judge(settings, result.readings, self._before(client, now))
        if settings.anomaly:
            outside += self._unusual_now(client, now)
        findings = [
            group_finding(settings, item, result.unit, now) for item in outside[: settings.max_groups]
        ]
        if len(outside) > settings.max_groups:
            findings.append(overflow_finding(settings, outside, now))
        return findings

    def _before(self, client: Client, now: int) -> dict[str, Reading]:
        settings = self._settings
        if settings.rises_by is None and settings.falls_by is None:
            return {}
        ago = _COMPARED.get(settings.compared_with, settings.window_seconds)
        return {reading.group: reading for reading in read(client, settings, now - ago).readings}

    def _unusual_now(self, client: Client, now: int) -> list[Outside]:
        """Windows one after the other, as long as each: what was learned stays."""
        settings, step = self._settings, step_of(self._settings)
        since = self._unusual.ended
        if since < 0:
            since = now - min(_LEARNED, _MOST_WINDOWS * step)
        outside = None
        for reading in sorted(
            read_over(client, settings, since, now // step * step, step).readings, key=lambda item: item.ended
        ):
            outside = self._unusual.advance(settings, reading)
        return [] if outside is None else [outside]

    def _with_examples(self, client: Client, finding: Finding, known: set[str], now: int) -> Finding:
        # Asking for traces is not for every evaluation: what is open has some.
        if finding.fingerprint in known:
            return finding
        return example_traces(client, self._settings, finding, now)
