"""Closed months, and what changed in them since."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import BILLED_PURPOSES, Scope, frame

from . import report

_CLOSED = """SELECT
    Month AS month,
    Project AS project,
    Provider AS provider,
    Model AS model,
    Calls AS calls_closed,
    Cost AS cost_closed,
    At AS closed_at
FROM cost_closed
ORDER BY month, project, provider, model"""

_KEYS = ["project", "provider", "model"]


def adjustments(client: Client) -> pd.DataFrame:
    """What is not as it was closed: `month`, `project`, `provider`, `model`, `calls_closed`,
    `calls_now`, `cost_closed`, `cost_now` (NaN: unpriced), `adjustment` in USD. Empty when nothing is."""
    closed = frame(client, _CLOSED, {})
    months = [_of_month(client, str(month), rows) for month, rows in closed.groupby("month")]
    columns = ["month", *_KEYS, "calls_closed", "calls_now", "cost_closed", "cost_now", "adjustment"]
    if not months:
        return pd.DataFrame(columns=columns)
    return pd.concat(months, ignore_index=True)[columns]


def _of_month(client: Client, month: str, closed: pd.DataFrame) -> pd.DataFrame:
    start = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    end = (start.replace(day=28) + pd.Timedelta(days=4)).replace(day=1)
    now = report.report(client, Scope(start, end, purposes=BILLED_PURPOSES), _KEYS)[[*_KEYS, "calls", "cost"]]
    now = now.rename(columns={"calls": "calls_now", "cost": "cost_now"})
    data = closed.merge(now, on=_KEYS, how="outer")
    data["month"] = month
    for name in ("calls_closed", "calls_now"):
        data[name] = data[name].fillna(0).astype("int64")
    data["cost_closed"] = pd.to_numeric(data["cost_closed"], errors="coerce")
    data["adjustment"] = data["cost_now"].fillna(0) - data["cost_closed"].fillna(0)
    same = (data["calls_closed"] == data["calls_now"]) & (data["adjustment"].abs() < 1e-9)
    return data[~same]
