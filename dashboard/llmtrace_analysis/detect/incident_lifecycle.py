"""The life of an incident: opened by a finding, updated while it lasts, resolved when it is quiet.

State lives in the store alone: every evaluation starts from the incidents read there, so a restart of watch
forgets nothing and what people decide is honoured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from llmtrace_analysis.settings import WatchSettings
from llmtrace_collector.store.incident import Incident, fingerprint, incident_id, to_iso

_MAX_EVIDENCE = 20

Action = Literal["open", "update", "resolve"]


@dataclass(frozen=True)
class Finding:
    """What a rule sees now. Texts hold no words of prompts: they reach people and other machines."""

    rule: str
    kind: Literal["anomaly", "abuse", "budget"]
    project: str
    dimensions: Mapping[str, str]
    metric: str
    severity: Literal["warning", "critical"]
    title: str
    summary: str
    observed: float
    expected_low: float
    expected_high: float
    unit: str
    seen: tuple[float, ...]
    """When it was seen (ends of buckets, times of messages), ascending."""
    openings: tuple[float, ...]
    """Each time from which on it is enough to open an incident, ascending; empty: enough only to go on."""
    evidence: tuple[str, ...] = field(default=())

    @property
    def fingerprint(self) -> str:
        """The id of this trouble, whenever it happens."""
        return fingerprint(self.rule, self.project, self.dimensions)


@dataclass(frozen=True)
class Change:
    """An incident to write."""

    action: Action
    incident: Incident
    note: str = ""


@dataclass(frozen=True)
class QuietPeriod:
    """Until when a rule has examined the store, and how long it must have seen nothing before an incident is
    over."""

    examined_until: float
    seconds: float


def advance(
    findings: Sequence[Finding],
    incidents: Sequence[Incident],
    quiet_periods: Mapping[str, QuietPeriod],
    now: float,
    settings: WatchSettings,
) -> list[Change]:
    """What to write, given what is seen now and the incidents in the store.

    `incidents`: those not resolved, and those resolved within the rest period. `quiet_periods`:
    one for each rule that was evaluated; incidents of other rules are left alone.
    """
    unresolved = {item.fingerprint: item for item in incidents if item.state != "resolved"}
    changes = []
    seen_now = {}
    for finding in findings:
        seen_now[finding.fingerprint] = finding
        if finding.fingerprint not in unresolved:
            changes += _open(finding, incidents, settings, now)
    for incident in unresolved.values():
        if incident.rule in quiet_periods:
            current = seen_now.get(incident.fingerprint)
            changes += _update_or_resolve(incident, current, quiet_periods[incident.rule], now, settings)
    return changes


def _open(
    finding: Finding, incidents: Sequence[Incident], settings: WatchSettings, now: float
) -> list[Change]:
    rest_until = max(
        (
            (item.resolved_at or item.last_seen_at) + settings.rest_seconds
            for item in incidents
            if item.fingerprint == finding.fingerprint and item.state == "resolved"
        ),
        default=0.0,
    )
    if rest_until > now:
        return []
    opened = next((time for time in finding.openings if time >= rest_until), None)
    if opened is None:
        return []
    seen = [time for time in finding.seen if time >= opened]
    incident = Incident(
        incident_id=incident_id(finding.fingerprint, opened),
        project=finding.project,
        fingerprint=finding.fingerprint,
        kind=finding.kind,
        rule=finding.rule,
        severity=finding.severity,
        state="open",
        title=finding.title,
        summary=finding.summary,
        metric=finding.metric,
        dimensions=finding.dimensions,
        observed=finding.observed,
        expected_low=finding.expected_low,
        expected_high=finding.expected_high,
        unit=finding.unit,
        opened_at=opened,
        last_seen_at=max(seen, default=opened),
        updated_at=now,
        acknowledged_at=None,
        acknowledged_by="",
        resolved_at=None,
        evidence=finding.evidence[:_MAX_EVIDENCE],
        count=max(1, len(seen)),
    )
    return [Change("open", incident)]


def _update_or_resolve(
    incident: Incident, finding: Finding | None, quiet: QuietPeriod, now: float, settings: WatchSettings
) -> list[Change]:
    fresh = [] if finding is None else [time for time in finding.seen if time > incident.last_seen_at]
    current = incident
    if finding is not None and fresh:
        current = _updated(incident, finding, fresh)
    if incident.kind == "anomaly" and now - incident.opened_at > settings.adapt_seconds:
        note = (
            f"the level has held for {settings.adapt_seconds / 60:g} minutes and counts as usual from now on"
        )
        return [_resolve(current, now, note)]
    if quiet.examined_until - current.last_seen_at >= quiet.seconds:
        return [_resolve(current, now, "calm again")]
    if fresh and now - incident.updated_at >= settings.update_seconds:
        return [Change("update", current)]
    return []


def _updated(incident: Incident, finding: Finding, fresh: Sequence[float]) -> Incident:
    worse = incident.observed is None or finding.observed >= incident.observed
    merged = (*incident.evidence, *(item for item in finding.evidence if item not in incident.evidence))
    return replace(
        incident,
        severity="critical" if "critical" in (incident.severity, finding.severity) else "warning",
        title=finding.title if worse else incident.title,
        summary=finding.summary if worse else incident.summary,
        observed=finding.observed if worse else incident.observed,
        last_seen_at=max(fresh),
        count=incident.count + len(fresh),
        evidence=merged[:_MAX_EVIDENCE],
    )


def _resolve(incident: Incident, now: float, note: str) -> Change:
    return Change("resolve", replace(incident, state="resolved", resolved_at=now), note)


def to_report(change: Change) -> dict[str, Any]:
    """The body of `PUT /v1/incidents/{id}`. People's fields are the collector's to keep."""
    body = asdict(change.incident)
    for name in ("incident_id", "updated_at", "acknowledged_at", "acknowledged_by"):
        del body[name]
    body["state"] = "resolved" if change.action == "resolve" else "open"
    for name in ("opened_at", "last_seen_at", "resolved_at"):
        body[name] = None if body[name] is None else to_iso(body[name])
    return {**body, "evidence": list(body["evidence"]), "actor": "watch", "note": change.note}
