"""The rules, each evaluated once: query the store, compare, and put the findings into words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from clickhouse_connect.driver.client import Client

from llmtrace_collector.store.incident import Incident, fingerprint

from . import store_queries
from .abuse.access_events import AccessParameters, find_bursts
from .abuse.request_flood import PROJECT_HISTORY, FloodParameters, MinuteCounts, find_floods
from .detectors.anomalies import Interval, Metric, SeriesResult, complete_until, evaluate_series
from .detectors.parameters import AnomalyParameters
from .detectors.series import SeriesKey
from .findings import (
    ACCESS_RULES,
    FLOOD_RULE,
    INJECTION_RULE,
    RULES,
    access_finding,
    anomaly_finding,
    flood_finding,
    injection_finding,
)
from .incident_lifecycle import Finding, QuietPeriod
from .label_margins import LabelMargins
from .labels import Margin
from .scans.message_scan import MessageScan
from .usage_history import UsageHistory

#: A project that nobody called for longer, seconds, is a new one.
_PROJECT_MEMORY = 7 * 86_400


class Rule(Protocol):
    """What is evaluated of the store every few seconds. It raises what its queries raise."""

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """What it sees at `now` (Unix seconds). `incidents`: those of the time it looks back at."""

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """When its incidents are over, by rule name."""


class AnomalyRule:
    """Models whose latency, errors, tokens or cost are not as usual, over calls for some purposes."""

    def __init__(
        self,
        parameters: AnomalyParameters,
        purposes: Sequence[str],
        labels: LabelMargins | None = None,
        false_incidents_a_week: float = 1.0,
    ) -> None:
        """`labels`: the margins by rule and series; `false_incidents_a_week`: what they come on top of."""
        self._parameters = parameters
        self._purposes = purposes
        self._labels = labels
        self._false_incidents = false_incidents_a_week
        self._history = UsageHistory(parameters.bucket_seconds, parameters.lookback_minutes * 60, purposes)

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """What the bands of every model say. Anomalies of the past are no part of the history."""
        findings = []
        news: dict[str, list[tuple[Finding, SeriesResult]]] = defaultdict(list)
        margins = {} if self._labels is None else self._labels.read(client, now)
        for series in self._history.series(client, now):
            excluded = excluded_times(series.key, incidents, self._parameters.adapt_seconds)
            evidence = evidence_for(series.key, margins, self._false_incidents)
            for result in evaluate_series(series, now, self._parameters, excluded, evidence):
                finding = anomaly_finding(result, self._parameters)
                if finding is None:
                    continue
                if _is_news(finding, incidents):
                    news[result.metric].append((finding, result))
                else:
                    findings.append(finding)
        for metric, of_metric in news.items():
            findings += self._with_evidence(client, metric, of_metric)
        return findings

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over after some quiet buckets, or when the level has become the usual one."""
        parameters = self._parameters
        until = float(complete_until(now, parameters))
        quiet = QuietPeriod(until, parameters.quiet_seconds, parameters.adapt_seconds)
        return dict.fromkeys(RULES.values(), quiet)

    def _with_evidence(
        self, client: Client, metric: str, news: Sequence[tuple[Finding, SeriesResult]]
    ) -> list[Finding]:
        """The findings of one metric with their traces: when a provider fails, all its models do at once, so
        one query is for all.
        """
        width = self._parameters.bucket_seconds
        stretches = [
            store_queries.Stretch(result.key, result.outliers[0].time, result.outliers[-1].time + width)
            for _, result in news
        ]
        evidence = store_queries.anomaly_evidence(client, metric, stretches, self._purposes)
        return [_shown_by(finding, metric, evidence[result.key]) for finding, result in news]


def evidence_for(
    key: SeriesKey, margins: Mapping[str, Margin], false_incidents_a_week: float
) -> dict[Metric, float]:
    """How many times the evidence each metric of a series needs, where labels ask for more."""
    if not margins:
        return {}
    of_metrics = {
        metric: margins.get(fingerprint(rule, key.project, key.dimensions)) for metric, rule in RULES.items()
    }
    return {
        metric: margin.evidence(false_incidents_a_week) for metric, margin in of_metrics.items() if margin
    }


def _is_news(finding: Finding, incidents: Sequence[Incident]) -> bool:
    """Whether it will be written, now or soon: asking for evidence is not for every evaluation."""
    unresolved = (item for item in incidents if item.state != "resolved")
    known = next((item for item in unresolved if item.fingerprint == finding.fingerprint), None)
    return bool(finding.openings if known is None else [t for t in finding.seen if t > known.last_seen_at])


def _shown_by(finding: Finding, metric: str, evidence: Sequence[store_queries.Evidence]) -> Finding:
    types = Counter(item.error_type for item in evidence if item.error_type)
    summary = finding.summary
    if metric == "error_rate" and types:
        error_type = "".join(c for c in types.most_common(1)[0][0] if c.isprintable())[:60]
        summary = f"{summary} Most fail with {error_type}."
    return replace(finding, summary=summary, evidence=tuple(item.trace_id for item in evidence))


def excluded_times(key: SeriesKey, incidents: Sequence[Incident], adapt_seconds: float) -> list[Interval]:
    """When the model was not as usual. An anomaly that lasted too long has become the usual."""
    times = []
    for incident in incidents:
        if incident.kind != "anomaly" or incident.project != key.project:
            continue
        if dict(incident.dimensions) != key.dimensions:
            continue
        end = incident.last_seen_at if incident.state == "resolved" else float("inf")
        if incident.last_seen_at - incident.opened_at < adapt_seconds:
            times.append((incident.opened_at, end))
    return times


class FloodRule:
    """Users who send far more than others, in the newest stretch up to now."""

    def __init__(self, parameters: FloodParameters, quiet_seconds: float, purposes: Sequence[str]) -> None:
        self._parameters = parameters
        self._purposes = purposes
        self._quiet_seconds = quiet_seconds
        self._known_projects: set[str] = set()
        self._history: list[MinuteCounts] = []
        self._read_until = 0
        self._read_users: set[str] = set()

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """See `Rule`; each with the user's newest traces."""
        parameters, window = self._parameters, self._parameters.window_seconds
        until = (int(now) // 10 + 1) * 10
        busy = self._busy(client, until)
        if not busy:
            return []
        users = {user for _, user, _ in busy}
        history = self._stretches_before(client, users, until)
        newest = store_queries.newest_counts(client, sorted(users), until - window, until, self._purposes)
        floods = find_floods(busy, history, newest, parameters)
        flooding = sorted({flood.user for flood in floods})
        traces = store_queries.user_traces(client, flooding, until - window, self._purposes)
        return [
            replace(
                flood_finding(flood, now, window),
                evidence=tuple(traces.get((flood.project, flood.user), ())),
            )
            for flood in floods
        ]

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over after a while without one."""
        return {FLOOD_RULE: QuietPeriod(now, self._quiet_seconds)}

    def _stretches_before(self, client: Client, users: set[str], until: int) -> list[MinuteCounts]:
        """The lookback up to the newest stretch: it is read once for each end of a stretch, which is ten
        seconds later than the last.
        """
        is_read = self._read_until == until
        if not is_read or not users <= self._read_users:
            # Who is busy no more is compared by name instead of among the others, which is the same.
            named = users | self._read_users if is_read else users
            parameters, window = self._parameters, self._parameters.window_seconds
            start = until - parameters.history_seconds
            self._history = store_queries.minute_counts(
                client, sorted(named), start, until - window, window, self._purposes
            )
            self._read_until, self._read_users = until, named
        return self._history

    def _busy(self, client: Client, until: int) -> list[tuple[str, str, int]]:
        """Who sends much, in projects that are old enough to compare with."""
        parameters, window = self._parameters, self._parameters.window_seconds
        busy = store_queries.busy_users(client, until - window, until, parameters.calls, self._purposes)
        if not busy:
            return []
        if unknown := {project for project, _, _ in busy} - self._known_projects:
            young = until - PROJECT_HISTORY * window
            since = young - _PROJECT_MEMORY
            self._known_projects |= store_queries.known_projects(client, sorted(unknown), since, young)
        return [who for who in busy if who[0] in self._known_projects]


class AccessRule:
    """Addresses whose keys are refused again and again, keys that read what they may not, keys that turn up
    in many new places.
    """

    def __init__(self, parameters: AccessParameters) -> None:
        self._parameters = parameters

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """See `Rule`. Nobody's traces show it: evidence is the table `security_events`."""
        counts = store_queries.access_counts(client, int(now) - self._parameters.window_seconds)
        bursts = find_bursts(counts, self._parameters)
        return [access_finding(burst, self._parameters.window_seconds) for burst in bursts]

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over when the events have left the window."""
        quiet = QuietPeriod(now, float(self._parameters.window_seconds))
        return dict.fromkeys(ACCESS_RULES.values(), quiet)


class InjectionRule:
    """Users whose messages try to override a prompt: those that the scan of messages has come upon."""

    def __init__(self, scan: MessageScan, enough: int, window_seconds: int) -> None:
        """`enough`: how many messages of one user within the window open an incident."""
        self._scan = scan
        self._enough = enough
        self._window_seconds = window_seconds

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """Who sent messages that match, once they are enough or an incident may go on."""
        return [
            injection_finding(project, user, matches, self._enough, self._window_seconds)
            for (project, user), matches in self._scan.matches().items()
        ]

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over when the messages have left the window, as far as what arrived was scanned."""
        if self._scan.seen_until is None:
            return {}
        return {INJECTION_RULE: QuietPeriod(self._scan.seen_until, float(self._window_seconds))}
