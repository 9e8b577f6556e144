"""Which traces match: a search in the store's language, narrowed by a page's filters."""

# Texts are put together from constants and from a search's condition; values are bound.

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_collector.store.search import Completion, Condition, Period, Search, completions, parse

from .scope import Scope, frame, rows, with_times
from .traces import TraceSummary, summaries

# A trace of several projects has a row for each, of which the search may have found one.
_PAGE = """SELECT
    TraceId AS trace_id,
    max(Start) AS started,
    argMin(Status, (NOT HasRoot, Start)) AS status
FROM {source}
WHERE {condition}
GROUP BY trace_id
ORDER BY started DESC, trace_id
LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}"""

# A trace that began before the period stands where that begins.
_OVER_TIME = """SELECT
    intDiv(greatest(toUnixTimestamp64Milli(Start), {{since:Int64}}), {{step:UInt32}} * 1000)
        * {{step:UInt32}} AS bucket,
    uniqExact(TraceId) AS calls,
    uniqExactIf(TraceId, Status = 'failed') AS errors,
    uniqExactIf(TraceId, Status = 'recovered') AS recovered
FROM {source}
WHERE {condition}
GROUP BY bucket
ORDER BY bucket"""


#: How far back an id is looked for.
_ALWAYS = timedelta(days=3650)


@dataclass(frozen=True)
class TraceFilter:
    """Filters of the traces page beside its scope.

    `text` is in the search language; `status` one of its words for a trace's status, or ''; `min_duration`
    is in seconds. A trace matches when its spans together have what is asked.
    """

    text: str = ""
    session: str = ""
    experiment: str = ""
    provider: str = ""
    prompt: str = ""
    tag: str = ""
    status: str = ""
    min_duration: float = 0.0

    def search(self, scope: Scope) -> Search:
        """All filters as one search, with those of the scope. Raises SearchError about `text`.

        What the work was for is the scope's to say, unless the search asks for it or for an id.
        """
        search = parse(self.text)
        defaults = () if search.mentions("purpose") or search.names_an_id else scope.purposes
        search = search.only(
            project=scope.project,
            service=scope.service,
            model=scope.model,
            user=scope.user,
            purpose=defaults,
            session=self.session,
            experiment=self.experiment,
            provider=self.provider,
            prompt=self.prompt,
            tag=self.tag,
            status=self.status,
        )
        return search.at_least("latency", self.min_duration) if self.min_duration else search


def traces_over_time(client: Client, scope: Scope, search: Search) -> pd.DataFrame:
    """Traces per bucket of `scope.step` seconds: `time` (UTC), `calls` (traces), `errors` (failed ones) and
    `recovered`. The scope's period holds, see `searched`.
    """
    condition = _condition(scope, search)
    sql = _OVER_TIME.format(source=condition.source, condition=condition.sql)
    params = {**condition.params, "since": scope.params()["since"], "step": scope.step}
    data = with_times(frame(client, sql, params), scope, scope.step)
    data["recovered"] = data["recovered"].fillna(0).astype("int64")
    return data


def traces_page(
    client: Client, scope: Scope, search: Search, limit: int, offset: int = 0
) -> list[TraceSummary]:
    """One page of matching traces, newest first. The scope's period holds, see `searched`."""
    condition = _condition(scope, search)
    sql = _PAGE.format(source=condition.source, condition=condition.sql)
    matches = rows(client, sql, {**condition.params, "limit": limit, "offset": offset})
    by_id = summaries(client, [row["trace_id"] for row in matches])
    return [
        replace(by_id[row["trace_id"]], status=row["status"]) for row in matches if row["trace_id"] in by_id
    ]


def searched(
    scope: Scope,
    search: Search,
    zone: tzinfo = UTC,
    now: datetime | None = None,
    *,
    since_always: bool = True,
) -> Scope:
    """The scope over the search's own period, where it names one; days are those of `zone`.

    Whoever asks for an id wants it whenever it was, ten years back, unless `since_always` is false.
    """
    if since_always and search.names_an_id and search.since is None:
        scope = replace(scope, since=min(scope.since, scope.until - _ALWAYS))
    if search.since is None and search.until is None:
        return scope
    moment = now or datetime.now(UTC)
    period = search.period(Period(scope.since, scope.until), moment, zone)
    until = period.until or moment
    since = period.since or until - (scope.until - scope.since)
    return replace(scope, since=since, until=max(since, until))


def suggestions(client: Client, text: str, cursor: int | None = None) -> list[Completion]:
    """What may stand at the cursor of a search, from what the store has seen lately."""
    return completions(text, cursor, lambda sql, params: rows(client, sql, params))


def _condition(scope: Scope, search: Search) -> Condition:
    # The period is the scope's: `searched` has put the search's own into it.
    return Search(search.tree).condition("traces", Period(scope.since, scope.until))
