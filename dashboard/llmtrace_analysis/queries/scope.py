"""What a page looks at (time, project, service, model, user, purpose) and how a SELECT is run over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import pandas as pd
from clickhouse_connect.driver.client import Client
from sqlglot import exp, parse_one

from llmtrace.common.time_zones import UTC_ZONE
from llmtrace.semconv import PURPOSE_PRODUCT, PURPOSE_SIMULATED, PURPOSES

#: Bucket widths in seconds that a chart may use, all multiples of the store's ten seconds.
STEPS = (10, 30, 60, 300, 900, 3600, 10_800, 21_600, 86_400)

#: A chart gets about this many points at most.
MAX_POINTS = 96

#: Whose calls count where nobody asks for others.
USUAL_PURPOSES: Final = (PURPOSE_PRODUCT,)
#: What a provider sends a bill for: a load test's and an evaluation's calls too.
BILLED_PURPOSES: Final = tuple(purpose for purpose in PURPOSES if purpose != PURPOSE_SIMULATED)


def chosen_purposes(words: Iterable[str]) -> tuple[str, ...]:
    """Purposes in their usual order, each once; empty, which means all, where one of the words is `all`.

    Raises ValueError for another word.
    """
    listed = list(words)
    if unknown := [word for word in listed if word not in (*PURPOSES, "all")]:
        raise ValueError(f"{unknown[0]!r} is no purpose; use {', '.join(PURPOSES)} or all")
    return () if "all" in listed else tuple(purpose for purpose in PURPOSES if purpose in listed)


@dataclass(frozen=True)
class Scope:
    """One page's view. `since` and `until` are aware datetimes, `until` is exclusive; empty means all.

    purposes: what the calls may have been for, of `semconv.PURPOSES`. zone: the time zone of days and months.
    """

    since: datetime
    until: datetime
    project: str = ""
    service: str = ""
    model: str = ""
    user: str = ""
    purposes: tuple[str, ...] = USUAL_PURPOSES
    zone: str = UTC_ZONE

    @property
    def step(self) -> int:
        """The narrowest bucket, in seconds, that keeps a chart readable."""
        seconds = (self.until - self.since).total_seconds()
        return next((step for step in STEPS if seconds / step <= MAX_POINTS), STEPS[-1])

    def before(self) -> Scope:
        """The same view over the span of time just before this one."""
        return replace(self, since=self.since - (self.until - self.since), until=self.since)

    def params(self) -> dict[str, Any]:
        """The values of the placeholders in `USAGE_SCOPE` and `SPAN_SCOPE`, and of the zone of days."""
        return {
            "since": millis(self.since),
            "until": millis(self.until),
            "project": self.project,
            "service": self.service,
            "model": self.model,
            "user": self.user,
            "purposes": list(self.purposes),
            "zone": self.zone,
        }


_DIMENSIONS = """({project:String} = '' OR Project = {project:String})
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({model:String} = '' OR Model = {model:String})
    AND ({user:String} = '' OR UserId = {user:String})
    AND (empty({purposes:Array(String)}) OR has({purposes:Array(String)}, Purpose))"""

#: The WHERE clause over `usage_10s` and `usage_cost`.
USAGE_SCOPE = f"""Time >= fromUnixTimestamp64Milli({{since:Int64}})
    AND Time < fromUnixTimestamp64Milli({{until:Int64}})
    AND {_DIMENSIONS}"""

#: The WHERE clause over `otel_traces`.
SPAN_SCOPE = f"""Timestamp >= fromUnixTimestamp64Milli({{since:Int64}})
    AND Timestamp < fromUnixTimestamp64Milli({{until:Int64}})
    AND {_DIMENSIONS}"""


def millis(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime."""
    return int(moment.timestamp() * 1000)


def moment(milliseconds: int | float) -> datetime:
    """The aware UTC datetime of milliseconds since 1970; a nonsense date becomes the last that there is."""
    return utc(milliseconds / 1000)


def utc(seconds: float) -> datetime:
    """The aware UTC datetime of Unix seconds; a nonsense date becomes the last that there is."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC, year=9998)


def aligned(since: datetime, until: datetime, step: int) -> tuple[datetime, datetime]:
    """The window widened to whole buckets of `step` seconds, so that a chart's first bar is a full one."""
    start = int(since.timestamp()) // step * step
    end = -(-int(until.timestamp()) // step) * step
    return datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)


def frame(client: Client, sql: str, params: Mapping[str, Any]) -> pd.DataFrame:
    """The result of one SELECT; column names as the SQL names them, no NULL turned into a number."""
    result = client.query(sql, parameters=dict(params))
    # The embedded engine sends nothing at all for no rows, not even the names.
    return pd.DataFrame(result.result_rows, columns=list(result.column_names or _selected(sql)))


@lru_cache(maxsize=64)
def _selected(sql: str) -> tuple[str, ...]:
    """The names of a SELECT's columns, from its text."""
    query = parse_one(sql, read="clickhouse")
    return tuple(query.named_selects) if isinstance(query, exp.Query) else ()


def rows(client: Client, sql: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The result of one SELECT as dictionaries."""
    result = client.query(sql, parameters=dict(params))
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def with_times(data: pd.DataFrame, scope: Scope, step: int, offset: int = 0) -> pd.DataFrame:
    """Rows of `bucket` (seconds since 1970) with every missing bucket of the window filled by zero calls.

    Adds `time`, an aware UTC column. Only for frames with one row per bucket.
    """
    start = (int(scope.since.timestamp()) + offset) // step * step - offset
    end = max(int(scope.until.timestamp()), start + step)
    full = pd.DataFrame({"bucket": range(start, end, step)})
    data = full.merge(data, on="bucket", how="left")
    for column in ("calls", "errors"):
        if column in data:
            data[column] = data[column].fillna(0).astype("int64")
    data["time"] = pd.to_datetime(data["bucket"], unit="s", utc=True)
    return data


def window(span: timedelta, now: datetime, step: int) -> tuple[datetime, datetime]:
    """The last `span` up to `now`, its end rounded up to `step` seconds so that caches are shared."""
    end = datetime.fromtimestamp(-(-int(now.timestamp()) // step) * step, UTC)
    return end - span, end
