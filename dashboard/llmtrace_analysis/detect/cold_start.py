"""What was already so when watch began: a few findings open incidents of their own, many are one summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

from llmtrace_collector.store.incident import Incident

from .incident_lifecycle import Finding

#: Incidents that a rule opens of what was already so when watch began; more of it is one summary.
_MOST = 3

#: Of how many the summary speaks by their titles.
_NAMED = 5


class ColdStart:
    """Findings from before a watch began are counted a rule at a time, over all its evaluations.

    What is summed up opens no incident of its own until it has ended and comes again.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._opened: dict[str, set[str]] = defaultdict(set)
        self._summed: dict[str, set[str]] = defaultdict(set)

    def quieted(
        self, findings: Sequence[Finding], incidents: Sequence[Incident], now: float
    ) -> list[Finding]:
        """The findings, many old ones of a rule as one. `incidents`: those that are known; they go on."""
        if self._began is None:
            self._began = now
        known = {incident.fingerprint for incident in incidents}
        by_rule: dict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            by_rule[finding.rule].append(finding)
        for rule in self._summed.keys() - by_rule.keys():
            self._summed[rule].clear()
        return list(chain.from_iterable(self._of_rule(rule, of, known) for rule, of in by_rule.items()))

    def _of_rule(self, rule: str, findings: list[Finding], known: set[str]) -> list[Finding]:
        began = self._began or 0.0
        opened, summed = self._opened[rule], self._summed[rule]
        summed &= {finding.fingerprint for finding in findings}
        old = {
            finding.fingerprint
            for finding in findings
            if finding.openings and finding.openings[0] <= began and finding.fingerprint not in known
        }
        old -= opened
        if summed or len(opened) + len(old) > _MOST:
            summed |= old
        else:
            opened |= old
        many = [finding for finding in findings if finding.fingerprint in summed]
        if not many:
            return findings
        return [
            *(finding for finding in findings if finding.fingerprint not in summed),
            _summary(many, began),
        ]


def _summary(findings: Sequence[Finding], began: float) -> Finding:
    """One finding that stands for many of one rule; of several projects, it is no project's."""
    first = findings[0]
    projects = {finding.project for finding in findings}
    titles = "; ".join(finding.title for finding in findings[:_NAMED])
    more = f"; and {len(findings) - _NAMED} more" if len(findings) > _NAMED else ""
    return Finding(
        rule=first.rule,
        kind=first.kind,
        project=first.project if len(projects) == 1 else "",
        dimensions={"when": "watch began"},
        metric=first.metric,
        severity="critical" if any(finding.severity == "critical" for finding in findings) else "warning",
        title=f"{len(findings)} of {first.rule} as watch began",
        summary=(
            f"It was already so: {titles}{more}. "
            "Each opens an incident of its own once it has ended and comes again."
        ),
        observed=float(len(findings)),
        expected_low=0.0,
        expected_high=float(_MOST),
        unit="findings",
        seen=(max(chain.from_iterable(finding.seen for finding in findings), default=began),),
        openings=(began,),
        evidence=tuple(dict.fromkeys(chain.from_iterable(finding.evidence for finding in findings)))[:10],
    )
