"""Fixed lines: reserved capacity, GPU hours and hosting, spread evenly over the time they are paid for.

They are shown beside what calls cost, never mixed into prices of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace.common.time_zones import Day, days_between, month_of
from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.pricing.currencies import ExchangeRate

from .currency import USD, rates_of

_LINES = """SELECT
    Id AS id,
    argMax(Kind, At) AS kind,
    argMax(Name, At) AS name,
    argMax(Project, At) AS project,
    argMax(Provider, At) AS provider,
    argMax(Model, At) AS model,
    argMax(Units, At) AS units,
    argMax(Price, At) AS price,
    argMax(Currency, At) AS currency,
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
_OF_LINES = ("id", "kind", "name", "project", "provider", "model", "units", "price", "currency", "period")


def lines(client: Client) -> pd.DataFrame:
    """The lines that are kept: `id`, `kind` (reserved, gpu, hosting, cache_storage, other), `name`,
    `project`, `provider`, `model`, `units`, `price` in `currency` each `period` (hour, month, total), `start`
    and `end` in seconds since 1970, `note`."""
    return frame(client, _LINES, {})


def amortised(lines: pd.DataFrame, scope: Scope, rates: Sequence[ExchangeRate] = ()) -> pd.DataFrame:
    """What lines cost by day of the scope's zone within its time and project: `day`, `id`, `kind`, `name`,
    `project`, `provider`, `model`, `units`, `price`, `period`, `hours`, `quantity` (units times periods) and
    `cost` in USD, each day's at its rate. Raises currency.NoRate."""
    rows = []
    for line in lines.to_dict(orient="records"):
        if scope.project not in ("", line["project"]) or scope.model not in ("", line["model"]):
            continue
        start, end = _moment(line["start"]), _moment(line["end"])
        for day in days_between(max(start, scope.since), min(end, scope.until), scope.zone):
            whole = _paid_time(str(line["period"]), day, scope.zone, end - start)
            quantity = float(line["units"]) * ((day.end - day.start) / whole)
            rows.append(
                {
                    "day": day.date.isoformat(),
                    **{key: line[key] for key in _OF_LINES},
                    "hours": (day.end - day.start) / _HOUR,
                    "quantity": quantity,
                    "cost": float(line["price"]) * quantity,
                }
            )
    columns = ["day", *_OF_LINES, "hours", "quantity", "cost"]
    data = pd.DataFrame(rows, columns=columns).sort_values(["day", "id"], ignore_index=True)
    for code in {*data["currency"]} - {USD}:
        of_code = data["currency"] == code
        data.loc[of_code, "cost"] /= rates_of(rates, code, data.loc[of_code, "day"])
    return data


def _paid_time(period: str, day: Day, zone: str, all_of_it: timedelta) -> timedelta:
    """The time that one price pays for."""
    if period == "hour":
        return _HOUR
    if period == "month":
        start, end = month_of(day.date, zone)
        return end - start
    return all_of_it


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(int(seconds), _OPEN), UTC)
