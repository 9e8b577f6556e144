"""What calls used lately, kept from one evaluation to the next, so that only what is new is read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost.headroom.capacity_use import Period, Use, read_use, uses_of
from llmtrace_analysis.cost.headroom.quotas import Caller, Measure
from llmtrace_analysis.cost.headroom.reported import Reported, ReportedBy, read_reported
from llmtrace_analysis.queries.scope import BILLED_PURPOSES, Scope

#: What is read each time: calls that take longer are added when all is read again.
FRESH_SECONDS: Final = 90
#: How often all of the time is read again, seconds.
WHOLE_SECONDS: Final = 300.0


class RecentUse:
    """Use and reported limits of a time that goes on. Of one thread."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._limits: dict[tuple[ReportedBy, Measure, int], Reported] = {}
        self._read_until = self._whole_until = float("-inf")

    def read(
        self, client: Client, scope: Scope
    ) -> tuple[dict[Caller, Use], dict[ReportedBy, list[Reported]], Period]:
        """What calls used in a scope whose ends are those of buckets, what answers of it reported, and the
        time that this is of."""
        period = Period.of(scope)
        is_later = 0 <= period.until - self._read_until <= FRESH_SECONDS / 2
        is_whole = not is_later or period.until - self._whole_until >= WHOLE_SECONDS
        since = scope.since if is_whole else max(scope.since, scope.until - timedelta(seconds=FRESH_SECONDS))
        fresh = replace(scope, since=since, purposes=BILLED_PURPOSES)
        rows, limits = read_use(client, fresh), read_reported(client, fresh)
        first = int(since.timestamp())
        self._rows = [row for row in self._rows if period.since <= row["bucket"] < first] + rows
        self._limits = {} if is_whole else {k: v for k, v in self._limits.items() if v.at >= period.since}
        for caller, items in limits.items():
            self._limits |= {(caller, item.measure, item.window): item for item in items}
        self._read_until = period.until
        if is_whole:
            self._whole_until = period.until
        by_caller: dict[ReportedBy, list[Reported]] = defaultdict(list)
        for (caller, _, _), item in self._limits.items():
            by_caller[caller].append(item)
        return uses_of(self._rows, period), by_caller, period
