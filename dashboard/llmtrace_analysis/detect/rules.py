"""The rules, each evaluated once: query the store, compare, and put the findings into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from clickhouse_connect.driver.client import Client

from llmtrace_collector.store.incident import Incident

from . import store_queries
from .abuse.access_events import AccessParameters, find_bursts
from .abuse.prompt_injection import PatternMatch, scan
from .abuse.request_flood import FloodParameters, find_floods
from .detectors.anomalies import Interval, SeriesResult, complete_until, evaluate_series
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

#: Spans become readable a moment after they were received, and not in order; this far back is read again.
_SETTLING_MS = 10_000
_PAGE = 500
_MAX_PAGES = 20


class Rule(Protocol):
    """What is evaluated of the store every few seconds. It raises what its queries raise."""

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """What it sees at `now` (Unix seconds). `incidents`: those of the time it looks back at."""

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """When its incidents are over, by rule name."""


class AnomalyRule:
    """Models whose latency, errors, tokens or cost are not as usual, over calls for some purposes."""

    def __init__(self, parameters: AnomalyParameters, purposes: Sequence[str]) -> None:
        self._parameters = parameters
        self._purposes = purposes

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """What the bands of every model say. Anomalies of the past are no part of the history."""
        bucket = self._parameters.bucket_seconds
        since = int(now - self._parameters.lookback_minutes * 60) // bucket * bucket
        findings = []
        for series in store_queries.usage(client, since, bucket, self._purposes):
            excluded = excluded_times(series.key, incidents, self._parameters.adapt_seconds)
            for result in evaluate_series(series, now, self._parameters, excluded):
                finding = anomaly_finding(result, self._parameters)
                if finding is not None:
                    findings.append(self._with_evidence(client, finding, result, incidents))
        return findings

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over after some quiet buckets, or when the level has become the usual one."""
        parameters = self._parameters
        until = float(complete_until(now, parameters))
        quiet = QuietPeriod(until, parameters.quiet_seconds, parameters.adapt_seconds)
        return dict.fromkeys(RULES.values(), quiet)

    def _with_evidence(
        self, client: Client, finding: Finding, result: SeriesResult, incidents: Sequence[Incident]
    ) -> Finding:
        """The finding with its traces, where it will be written: asking for them is not for every
        evaluation."""
        known = next(
            (i for i in incidents if i.fingerprint == finding.fingerprint and i.state != "resolved"), None
        )
        news = finding.openings if known is None else [t for t in finding.seen if t > known.last_seen_at]
        if not news:
            return finding
        evidence = store_queries.anomaly_evidence(
            client,
            result.key,
            result.metric,
            result.outliers[0].time,
            result.outliers[-1].time + self._parameters.bucket_seconds,
            self._purposes,
        )
        types = Counter(item.error_type for item in evidence if item.error_type)
        summary = finding.summary
        if result.metric == "error_rate" and types:
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

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """See `Rule`; each with the user's newest traces."""
        parameters, window = self._parameters, self._parameters.window_seconds
        until = (int(now) // 10 + 1) * 10
        busy = store_queries.busy_users(client, until - window, until, parameters.calls, self._purposes)
        if not busy:
            return []
        users = sorted({user for _, user, _ in busy})
        start = until - parameters.history_seconds
        history = store_queries.minute_counts(client, users, start, until - window, window, self._purposes)
        return [
            replace(
                flood_finding(flood, now, window),
                evidence=tuple(
                    store_queries.user_traces(
                        client, flood.project, flood.user, until - window, self._purposes
                    )
                ),
            )
            for flood in find_floods(busy, history, parameters)
        ]

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over after a while without one."""
        return {FLOOD_RULE: QuietPeriod(now, self._quiet_seconds)}


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
    """Users whose messages try to override a prompt.

    It reads each call's new messages once and remembers who sent which patterns within the window.

    After a restart it reads the whole window again, so nothing needs to be kept.
    """

    def __init__(self, enough: int, window_seconds: int, purposes: Sequence[str]) -> None:
        """`enough`: how many messages of one user within the window open an incident. `purposes`: what the
        calls were for whose messages are read.
        """
        self._purposes = purposes
        self._enough = enough
        self._window_seconds = window_seconds
        self._read_until = 0
        self._scanned: dict[str, int] = {}
        self._matches: list[PatternMatch] = []

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """Who sent messages that match, once they are enough or an incident may go on."""
        self._read(client, now)
        oldest = now - self._window_seconds
        self._matches = [match for match in self._matches if match.at >= oldest]
        by_user: dict[tuple[str, str], list[PatternMatch]] = {}
        for match in sorted(self._matches, key=lambda match: match.at):
            by_user.setdefault((match.project, match.user), []).append(match)
        return [
            injection_finding(project, user, matches, self._enough, self._window_seconds)
            for (project, user), matches in by_user.items()
        ]

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over when the messages have left the window."""
        return {INJECTION_RULE: QuietPeriod(now, float(self._window_seconds))}

    def _read(self, client: Client, now: float) -> None:
        since = int(now) - self._window_seconds
        after = (max(0, self._read_until - _SETTLING_MS), "")
        for _ in range(_MAX_PAGES):
            rows = store_queries.messages(client, since, self._purposes, after, _PAGE)
            for row in rows:
                if row.span_id in self._scanned:
                    continue
                self._scanned[row.span_id] = row.received_ms
                if names := scan(row.text, row.cut):
                    self._matches.append(
                        PatternMatch(row.project, row.user, row.at, row.trace_id, row.span_id, names)
                    )
            if rows:
                after = (rows[-1].received_ms, rows[-1].span_id)
                self._read_until = max(self._read_until, rows[-1].received_ms)
            if len(rows) < _PAGE:
                break
        oldest = self._read_until - 2 * _SETTLING_MS
        self._scanned = {span: received for span, received in self._scanned.items() if received >= oldest}
