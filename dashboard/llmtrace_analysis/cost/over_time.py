"""Cost over time, by anything that calls are told apart by."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.pricing.currencies import ExchangeRate

from .currency import USD, converted
from .parts import CHARTED
from .priced_usage import DIMENSIONS, expressions, priced, usage_of

# Buckets start at midnight of a zone `offset` seconds east of UTC.
_BUCKET = "intDiv(toUnixTimestamp(Time) + {offset:Int64}, {step:Int64}) * {step:Int64} - {offset:Int64}"


def over_time(
    client: Client,
    scope: Scope,
    by: str,
    keys: Sequence[str],
    step: int,
    offset: int,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
    book: str = "",
) -> pd.DataFrame:
    """Cost per bucket and key: `time` (UTC), `key`, `named`, `cost` in `currency`.

    Keys that are not in `keys` are one row per bucket with `named` false. Buckets are `step` seconds wide and
    start at midnight of a zone that is `offset` seconds east of UTC. Prices are those of `book`, or of the
    book in effect. Raises currency.NoRate and
    priced_usage.UnknownDimension.
    """
    # Its place in the list, 0 for others: usage is added up before it is priced, for few keys then.
    place = f"indexOf({{keys:Array(String)}}, toString({expressions([by])[by]}))"
    params = {**scope.params(), "keys": list(keys), "step": step, "offset": offset, "book": book}
    text = _text(scope, [by], step, offset, {"place": place}, {"cost": "Cost"}, book)
    data = _converted(client, text, params, ["cost"], currency, rates)
    summed = data.groupby(["bucket", "place"])["cost"].sum(min_count=1).reset_index()
    summed["named"] = summed["place"] > 0
    summed["key"] = [keys[place - 1] if place else "" for place in summed.pop("place")]
    summed = summed.sort_values(["bucket", "named", "key"], ascending=[True, False, True], ignore_index=True)
    summed["time"] = pd.to_datetime(summed["bucket"], unit="s", utc=True)
    return summed


def parts_over_time(
    client: Client,
    scope: Scope,
    step: int,
    offset: int,
    currency: str = USD,
    rates: Sequence[ExchangeRate] = (),
    book: str = "",
) -> pd.DataFrame:
    """Cost per bucket by part of the price: `time` (UTC) and a column for each of `parts.CHARTED`.

    Raises currency.NoRate.
    """
    params = {**scope.params(), "step": step, "offset": offset, "book": book}
    text = _text(scope, [], step, offset, {}, CHARTED, book)
    data = _converted(client, text, params, list(CHARTED), currency, rates)
    summed = data.groupby("bucket")[list(CHARTED)].sum().reset_index()
    summed["time"] = pd.to_datetime(summed["bucket"], unit="s", utc=True)
    return summed


def _text(
    scope: Scope,
    by: Sequence[str],
    step: int,
    offset: int,
    names: Mapping[str, str],
    amounts: Mapping[str, str],
    book: str,
) -> str:
    groups = {"bucket": _BUCKET, "day": DIMENSIONS["day"], **names}
    sums = ", ".join(f"sum({sql}) AS `{name}`" for name, sql in amounts.items())
    return f"""SELECT {", ".join(groups)}, {sums}
FROM ({priced(usage_of(scope, by, step, offset), groups, book=book)}) AS charges
GROUP BY {", ".join(groups)}"""


def _converted(
    client: Client,
    text: str,
    params: Mapping[str, Any],
    costs: Sequence[str],
    currency: str,
    rates: Sequence[ExchangeRate],
) -> pd.DataFrame:
    data = frame(client, text, params)
    return converted(
        data.assign(**{name: pd.to_numeric(data[name], errors="coerce") for name in costs}),
        costs,
        currency,
        rates,
    )
