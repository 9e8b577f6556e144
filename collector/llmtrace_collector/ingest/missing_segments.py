"""Says that segments of the log are missing, as incidents, a metric and a reason of readiness, for as long as
the quarantine lists them.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from llmtrace.common.health import HealthReason
from llmtrace_collector.accounting.store_ledger import IncidentReports
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.incident import Incident, incident_of_missing_rows

from .log_damage import Damage

RULE = "missing-segments"

_CURE = (
    "`llmtrace collector quarantine list` names them: put their files back and restart, or have what they "
    "held sent again and delete their entries"
)


class MissingSegments:
    """Tells of what `missing` returns."""

    def __init__(
        self,
        missing: Callable[[], Sequence[Damage]],
        metrics: CollectorMetrics,
        incidents: IncidentReports,
    ) -> None:
        self._missing = missing
        self._incidents = incidents
        self._open: dict[tuple[str, int], Incident] = {}
        metrics.missing_segments.set_function(lambda: len(missing()))

    def health(self) -> Iterator[HealthReason]:
        """The reason of readiness; without names of anybody's services."""
        missing = self._missing()
        if missing:
            rows = sum(item.arrivals.total() for item in missing)
            segments = "a segment" if len(missing) == 1 else f"{len(missing)} segments"
            yield HealthReason(
                "segments-missing",
                f"{segments} of the log, with at least {rows:,} acknowledged rows, "
                f"{'is' if len(missing) == 1 else 'are'} missing: somebody took the files away before they "
                f"were stored; {_CURE}",
            )

    def sync(self) -> None:
        """Bring the incidents up to date: one for each project and start that missed something. Raises
        StoreError.
        """
        groups: dict[tuple[str, int], list[Damage]] = defaultdict(list)
        for item in self._missing():
            for project in {owner.project for owner in item.arrivals}:
                groups[project, item.missed_at].append(item)
        now = round(time.time(), 3)
        for key, items in groups.items():
            if key not in self._open:
                incident = _incident(key[0], items, now)
                self._incidents.report(incident, RULE, "")
                self._open[key] = incident
        for key in set(self._open) - set(groups):
            incident = replace(self._open[key], state="resolved", resolved_at=now, last_seen_at=now)
            self._incidents.report(incident, RULE, "the entries of the quarantine are gone")
            del self._open[key]


def _incident(project: str, items: Sequence[Damage], now: float) -> Incident:
    rows = Counter[str]()
    for item in items:
        for owner, count in item.arrivals.items():
            if owner.project == project:
                rows[owner.service] += count
    whose = ", ".join(f"{count:,} of {service}" for service, count in rows.most_common(20))
    return incident_of_missing_rows(
        RULE,
        project,
        rows.total(),
        title=f"{rows.total():,} acknowledged rows are missing from the log",
        summary=f"at least {whose}, in {', '.join(item.name for item in items[:20])}. {_CURE}.",
        opened_at=round(items[0].missed_at / 1e9, 3),
        now=now,
    )
