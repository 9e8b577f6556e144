"""Fixed lines: reserved capacity, GPU hours and hosting, spread evenly over the time they are paid for.

They are shown beside what calls cost, never mixed into prices of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import Scope, frame

_LINES = """SELECT
    Id AS id,
    argMax(Kind, At) AS kind,
    argMax(Name, At) AS name,
    argMax(Project, At) AS project,
    argMax(Provider, At) AS provider,
    argMax(Model, At) AS model,
    argMax(Units, At) AS units,
    argMax(Price, At) AS price,
    argMax(Period, At) AS period,
    toUnixTimestamp(argMax(ValidFrom, At)) AS start,
    toUnixTimestamp(argMax(ValidTo, At)) AS end,
    argMax(Note, At) AS note
FROM fixed_costs
GROUP BY Id
HAVING NOT argMax(Removed, At)
ORDER BY id"""

#: The greatest day of the store: a line without an end.
_OPEN = 2**32 - 1
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def lines(client: Client) -> pd.DataFrame:
    """The lines that are kept: `id`, `kind` (reserved, gpu, hosting, other), `name`, `project`, `provider`,
    `model`, `units`, `price` in USD each `period` (hour, month, total), `start` and `end` in seconds since
    1970, `note`."""
    return frame(client, _LINES, {})


def amortised(lines: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """What lines cost by UTC day within the scope's time and project: `day`, `id`, `kind`, `name`, `project`,
    `provider`, `model`, `units`, `hours` and `cost` in USD."""
    rows = []
    for line in lines.to_dict(orient="records"):
        if scope.project not in ("", line["project"]) or scope.model not in ("", line["model"]):
            continue
        start, end = _moment(line["start"]), _moment(line["end"])
        for since, until in _days(max(start, scope.since), min(end, scope.until)):
            whole = _paid_time(str(line["period"]), since, start, end)
            rows.append(
                {
                    "day": since.strftime("%Y-%m-%d"),
                    **{key: line[key] for key in ("id", "kind", "name", "project", "provider", "model")},
                    "units": float(line["units"]),
                    "hours": (until - since) / _HOUR,
                    "cost": float(line["units"]) * float(line["price"]) * ((until - since) / whole),
                }
            )
    columns = ["day", "id", "kind", "name", "project", "provider", "model", "units", "hours", "cost"]
    return pd.DataFrame(rows, columns=columns).sort_values(["day", "id"], ignore_index=True)


def _paid_time(period: str, day: datetime, start: datetime, end: datetime) -> timedelta:
    """The time that one price pays for."""
    if period == "hour":
        return _HOUR
    if period == "month":
        month = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (month + timedelta(days=32)).replace(day=1) - month
    return end - start


def _days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        midnight = since.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        yield since, min(midnight, until)
        since = midnight


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(int(seconds), _OPEN), UTC)
