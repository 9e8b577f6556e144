"""The life of an incident: opened by a finding, updated while it lasts, resolved when it is quiet.

State lives in the store alone: every evaluation starts from the incidents read there, so a restart of watch
forgets nothing and what people decide is honoured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from llmtrace_collector.store.incident import Incident, fingerprint, incident_id

_MAX_EVIDENCE = 20

Action = Literal["open", "update", "resolve"]


@dataclass(frozen=True)
class Finding:
    """What a rule sees now. Texts hold no words of prompts: they reach people and other machines."""

    rule: str
    kind: Literal["anomaly", "abuse", "budget", "rule"]
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
    is_going_on: bool = False
    """Whether the rule knows that it is not over: until it says otherwise, no quiet period ends it."""

    @property
    def fingerprint(self) -> str:
        """The id of this trouble, whenever it happens."""
        return fingerprint(self.rule, self.project, self.dimensions)


#: What an incident takes over from the finding that opens it.
_SHARED = {item.name for item in fields(Finding)} & {item.name for item in fields(Incident)} - {"evidence"}


@dataclass(frozen=True)
class Change:
    """An incident to write."""

    action: Action
    incident: Incident
    note: str = ""


@dataclass(frozen=True)
class QuietPeriod:
    """When a rule's incidents are over."""

    examined_until: float
    """Until when the rule has examined the store."""
    seconds: float
    """How long it must have seen nothing."""
    adapt_seconds: float = math.inf
    """How long an incident lasts at most: then its level counts as the usual one."""


def advance(
    findings: Sequence[Finding],
    incidents: Sequence[Incident],
    quiet_periods: Mapping[str, QuietPeriod],
    now: float,
    *,
    rest_seconds: float,
    update_seconds: float,
) -> list[Change]:
    """What to write, given what is seen now and the incidents in the store.

    `incidents`: those not resolved, and those resolved within the rest period. `quiet_periods`:
    one for each rule that was evaluated; incidents of other rules are left alone. `rest_seconds`: how long
    an incident that was resolved is not opened anew; `update_seconds`: the least time between two updates.
    """
    unresolved = {item.fingerprint: item for item in incidents if item.state != "resolved"}
    changes = []
    seen_now = {}
    for finding in _of_all_rules(findings):
        seen_now[finding.fingerprint] = finding
        if finding.fingerprint not in unresolved:
            changes += _open(finding, incidents, rest_seconds, now)
    for incident in unresolved.values():
        if incident.rule in quiet_periods:
            current = seen_now.get(incident.fingerprint)
            quiet = quiet_periods[incident.rule]
            changes += _update_or_resolve(incident, current, quiet, now, update_seconds)
    return changes


def _of_all_rules(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each trouble, where several rules see it."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        other = merged.get(finding.fingerprint)
        if other is not None:
            # What goes on is spoken of as the rule does that knows it.
            first, second = (finding, other) if finding.is_going_on else (other, finding)
            finding = replace(
                first,
                severity="critical" if "critical" in (first.severity, second.severity) else "warning",
                seen=tuple(sorted({*first.seen, *second.seen})),
                openings=tuple(sorted({*first.openings, *second.openings})),
                evidence=tuple(dict.fromkeys((*first.evidence, *second.evidence))),
            )
        merged[finding.fingerprint] = finding
    return list(merged.values())


def _open(finding: Finding, incidents: Sequence[Incident], rest_seconds: float, now: float) -> list[Change]:
    rest_until = max(
        (
            item.ended_at + rest_seconds
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
        **{name: getattr(finding, name) for name in _SHARED},
        incident_id=incident_id(finding.fingerprint, opened),
        fingerprint=finding.fingerprint,
        state="open",
        opened_at=opened,
        last_seen_at=max(seen, default=opened),
        updated_at=now,
        evidence=finding.evidence[:_MAX_EVIDENCE],
        count=max(1, len(seen)),
    )
    return [Change("open", incident)]


def _update_or_resolve(
    incident: Incident, finding: Finding | None, quiet: QuietPeriod, now: float, update_seconds: float
) -> list[Change]:
    fresh = [] if finding is None else [time for time in finding.seen if time > incident.last_seen_at]
    current = incident
    if finding is not None and fresh:
        current = _updated(incident, finding, fresh)
    if finding is not None and finding.is_going_on:
        is_due = fresh and now - incident.updated_at >= update_seconds
        return [Change("update", current)] if is_due else []
    if now - incident.opened_at > quiet.adapt_seconds:
        note = f"the level has held for {quiet.adapt_seconds / 60:g} minutes and counts as usual from now on"
        return [_resolve(current, now, note)]
    if quiet.examined_until - current.last_seen_at >= quiet.seconds:
        return [_resolve(current, now, "calm again")]
    if fresh and now - incident.updated_at >= update_seconds:
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
    state = "resolved" if change.action == "resolve" else "open"
    return {**change.incident.to_report(), "state": state, "actor": "watch", "note": change.note}
