"""Calls, errors, latency, tokens and cost over the rollup: totals, over time, by model and by user."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_collector.pricing.priced_sums import priced_sums

from .scope import USAGE_SCOPE, Scope, frame, millis, rows, with_times

_MEASURES = """sum(Calls) AS calls,
    sum(Errors) AS errors,
    sum(UnknownUsage) AS without_tokens,
    sumIf(Calls, NOT Priced) AS unpriced,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(CacheWriteTokens) AS cache_write_tokens,
    sum(ReasoningTokens) AS reasoning_tokens,
    sum(TtftCount) AS streamed,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest) AS latency,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(TtftDigest) AS ttft,
    sum(Cost) AS cost,
    ifNull(sumIf(Cost, Stated), 0) AS stated,
    sumIf(Calls, Estimated != '') AS estimated,
    ifNull(sumIf(Cost, Estimated != ''), 0) AS estimated_cost"""

#: Columns of the rollup that the measures need.
_COUNTS = (
    *("Calls", "Errors", "UnknownUsage", "InputTokens", "OutputTokens"),
    *("CacheReadTokens", "CacheWriteTokens", "ReasoningTokens"),
)
_ALSO = ("TtftCount", "LatencyDigest", "TtftDigest")


def _source(names: Mapping[str, str], where: str = USAGE_SCOPE) -> str:
    return priced_sums("usage_10s", names, where, also=_ALSO, counts=_COUNTS, parts=False)


USAGE_TOTALS = f"""SELECT {_MEASURES}
FROM ({_source({})}) AS charged"""

_EARLIER = "toUnixTimestamp(Time) * 1000 < {middle:Int64}"

#: One reading for all that a page shows of a window and the one before it: the whole of both, and every
#: bucket and model of the later.
USAGE_OVER_TIME = f"""SELECT earlier, bucket, model, provider,
    grouping(bucket) = 0 AS of_bucket,
    grouping(model) = 0 AS of_model,
    {_MEASURES}
FROM ({
    _source(
        {
            "earlier": _EARLIER,
            "bucket": f"if({_EARLIER}, 0, intDiv(toUnixTimestamp(Time), {{step:UInt32}}) * {{step:UInt32}})",
            "model": f"if({_EARLIER}, '', Model)",
            "provider": f"if({_EARLIER}, '', Provider)",
        }
    )
}) AS charged
GROUP BY GROUPING SETS ((earlier), (earlier, bucket), (earlier, model, provider))
ORDER BY bucket, calls DESC, model, provider"""

#: Users are ranked before anything else of them is read: there may be very many.
_BUSIEST = f"""{USAGE_SCOPE} AND UserId IN (
    SELECT UserId FROM usage_10s
    WHERE {USAGE_SCOPE} AND UserId != ''
    GROUP BY UserId
    ORDER BY sum(Calls) DESC, UserId
    LIMIT {{limit:UInt32}})"""

TOP_USERS = f"""SELECT user, {_MEASURES}
FROM ({_source({"user": "UserId"}, _BUSIEST)}) AS charged
GROUP BY user
ORDER BY calls DESC, user"""

FACETS = """SELECT
    groupUniqArray(200)(Project) AS projects,
    groupUniqArray(200)(ServiceName) AS services,
    groupUniqArrayIf(200)(Model, Model != '') AS models
FROM otel_traces
WHERE Timestamp >= fromUnixTimestamp64Milli({since:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({until:Int64})"""

ANY_SPAN = "SELECT 1 AS found FROM otel_traces LIMIT 1"

PURPOSES_SEEN = """SELECT toString(Purpose) AS purpose, sum(Calls) AS calls
FROM usage_10s
WHERE Time >= fromUnixTimestamp64Milli({since:Int64}) AND Time < fromUnixTimestamp64Milli({until:Int64})
GROUP BY purpose
ORDER BY calls DESC, purpose"""

USERS = """SELECT UserId AS user, sum(Calls) AS calls
FROM usage_10s
WHERE Time >= fromUnixTimestamp64Milli({since:Int64}) AND Time < fromUnixTimestamp64Milli({until:Int64})
    AND UserId != ''
GROUP BY user
ORDER BY calls DESC, user
LIMIT 200"""


@dataclass(frozen=True)
class Totals:
    """One row of measures. Latency and time to first token in seconds, None where nothing is known.

    `cost` is in USD and leaves out the `unpriced` calls; None when no call has a price. `stated` is what of
    it answers state. `estimated` calls told no tokens: theirs are estimated from text, at `estimated_cost`.
    """

    calls: int
    errors: int
    without_tokens: int
    unpriced: int
    streamed: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    p50: float | None
    p95: float | None
    p99: float | None
    ttft_p50: float | None
    ttft_p95: float | None
    cost: float | None
    stated: float = 0.0
    estimated: int = 0
    estimated_cost: float = 0.0

    @property
    def error_rate(self) -> float | None:
        """Errors over calls, 0 to 1; None without calls."""
        return self.errors / self.calls if self.calls else None

    @property
    def tokens(self) -> int:
        """Input and output; cached and reasoning tokens are parts of these."""
        return self.input_tokens + self.output_tokens


NOTHING = Totals(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, None, None, None, None, None)


@dataclass(frozen=True)
class UsageOverTime:
    """A window and the one of the same length `before` it, measured.

    `buckets` has one row per bucket of `scope.step` seconds: `time` (UTC), the measures, `p50`…`ttft_p95`
    in seconds. `models` has the most called ones: `model`, `provider` and the same measures.
    """

    totals: Totals
    before: Totals
    buckets: pd.DataFrame
    models: pd.DataFrame


@dataclass(frozen=True)
class Facets:
    """What the filters may offer, sorted."""

    projects: tuple[str, ...]
    services: tuple[str, ...]
    models: tuple[str, ...]
    users: tuple[str, ...]
    purposes: Mapping[str, int]
    """What calls were for → how many calls, most first."""


def totals(client: Client, scope: Scope) -> Totals:
    """The measures over the whole window."""
    return _totals(rows(client, USAGE_TOTALS, scope.params())[0])


def over_time(client: Client, scope: Scope, models: int = 8) -> UsageOverTime:
    """The window beside the one before it, over time and by its most called models, in one reading."""
    params = {**scope.params(), "since": millis(scope.before().since), "middle": millis(scope.since)}
    data = frame(client, USAGE_OVER_TIME, {**params, "step": scope.step})
    earlier, of_bucket, of_model = (
        data.pop(kind).astype(bool) for kind in ("earlier", "of_bucket", "of_model")
    )
    whole = ~(of_bucket | of_model)
    buckets, models_called = data[of_bucket & ~earlier], data[of_model & ~earlier]
    return UsageOverTime(
        totals=_whole(data[whole & ~earlier]),
        before=_whole(data[whole & earlier]),
        buckets=with_times(_spread(buckets.drop(columns=["model", "provider"])), scope, scope.step),
        models=_spread(models_called.head(models).drop(columns="bucket")),
    )


def top_users(client: Client, scope: Scope, limit: int = 8) -> pd.DataFrame:
    """The most active named users: `user` and the measures."""
    return _spread(frame(client, TOP_USERS, {**scope.params(), "limit": limit}))


def facets(client: Client, scope: Scope) -> Facets:
    """The projects, services, models, users and purposes seen in the window."""
    window = {"since": millis(scope.since), "until": millis(scope.until)}
    values = rows(client, FACETS, window)[0]
    users = frame(client, USERS, window)
    return Facets(
        projects=tuple(sorted(values["projects"])),
        services=tuple(sorted(values["services"])),
        models=tuple(sorted(values["models"])),
        users=tuple(users["user"]),
        purposes={row["purpose"]: row["calls"] for row in rows(client, PURPOSES_SEEN, window)},
    )


def any_span(client: Client) -> bool:
    """Whether the store holds any span at all."""
    return bool(rows(client, ANY_SPAN, {}))


def _known(value: float | None) -> float | None:
    return None if value is None or isnan(value) else float(value)


def _whole(data: pd.DataFrame) -> Totals:
    for row in data.drop(columns=["bucket", "model", "provider"]).to_dict("records"):
        return _totals({str(name): value for name, value in row.items()})
    return NOTHING


def _totals(row: dict[str, Any]) -> Totals:
    p50, p95, p99 = (_known(value) for value in row.pop("latency"))
    ttft_p50, ttft_p95, _ = (_known(value) for value in row.pop("ttft"))
    cost = _known(row.pop("cost"))
    # A price on a call without token counts says nothing about its cost.
    return Totals(p50=p50, p95=p95, p99=p99, ttft_p50=ttft_p50, ttft_p95=ttft_p95, cost=cost, **row)


def _spread(data: pd.DataFrame) -> pd.DataFrame:
    """Digest columns as one column per percentile."""
    data = data.copy()
    for source, names in (("latency", ("p50", "p95", "p99")), ("ttft", ("ttft_p50", "ttft_p95", "ttft_p99"))):
        for index, name in enumerate(names):
            data[name] = [float(value[index]) for value in data[source]]
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    return data.drop(columns=["latency", "ttft"])
