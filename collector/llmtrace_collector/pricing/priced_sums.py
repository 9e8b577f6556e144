"""Cost of usage, added up before it is priced: the one source of every sum with prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from . import charges

#: What usage is read from: the rollups, or the counted calls, each as often as it stands for.
Usage = Literal["usage_hour", "usage_10s", "call_cost"]

#: Everything that is counted.
COUNTS = ("Calls", "Errors", "UnknownUsage", *charges.COUNTS)


def priced_sums(
    usage: Usage,
    names: Mapping[str, str],
    where: str,
    book: str = "",
    also: Sequence[str] = (),
    of_price: Sequence[str] = (),
    counts: Sequence[str] = COUNTS,
    parts: bool = True,
    quantities: bool = False,
) -> str:
    """SELECT over `usage` with what it cost: `names` (column → its SQL), `counts`, `StatedBy` and
    `StatedCost`, `Estimated`, whether the cost is known (`Priced`) and stated (`Stated`), the `Cost` and its
    `parts`, which are all that `charges.columns` has more, the columns `also` (counts, or states of an
    aggregate: names that end with `Digest`), columns `of_price` of the price book, and the `quantities` that
    are charged. Who asks for less gets it sooner: each column is planned, read or not. Parts need all counts.

    A month of ten million calls is a million rows, but only thousands that differ in what a price depends on:
    they are added up first. Prices are those of the book in effect, or of that in the parameter `book` where
    it is not empty; `since` and `until` (milliseconds) are parameters too.
    """
    chosen = "Book = {book:String}"
    prices = f"(SELECT *, Rates FROM price_book FINAL WHERE {chosen})" if book else "price_now"  # noqa: S608 - ours
    discounts = f"(SELECT * FROM discount_book FINAL WHERE {chosen})" if book else "discount_now"  # noqa: S608
    keys = "".join(f"{sql} AS `{name}`, " for name, sql in names.items())
    groups = "".join(f"`{name}`, " for name in names)
    wanted = (*counts, *also)
    # Sums have names of their own where `where` may speak of what is added up.
    sums = ", ".join(f"{_aggregate(usage, name)} AS Sum{name}" for name in wanted)
    summed = ", ".join(f"Sum{name} AS {name}" for name in (*wanted, "StatedCost"))
    picked = "".join(f"usage.`{name}` AS `{name}`, " for name in (*names, *wanted))
    of_book = "".join(f"price.{name} AS {name}, " for name in of_price)
    pair = "Provider, Model, ResponseModel, ServiceTier, ContextClass, DayClass, StatedBy, Estimated"
    # Where nobody has a discount, projects need not be told apart.
    whose = f"if((SELECT count() FROM {discounts}) = 0, '', Project)"  # noqa: S608 - ours
    added = f"""SELECT {keys}{pair}, {whose} AS Whose, {_price_period(prices, discounts)} AS Spell,
        min(Time) AS First, {sums}, {_stated(usage)} AS SumStatedCost,
        {charges.unit_sums("Weight" if usage == "call_cost" else "")}
    FROM {usage} AS usage
    WHERE {where}
    GROUP BY {groups}{pair}, Whose, Spell"""  # noqa: S608 - names of ours
    source = f"""(SELECT {groups}{pair}, Whose AS Project, First, {summed}, Units
FROM ({added}))"""  # noqa: S608 - names of ours
    charged = charges.columns() if parts else charges.cost()
    return f"""SELECT {picked}{of_book}usage.StatedBy AS StatedBy,
    usage.Estimated AS Estimated, usage.StatedCost AS StatedCost,
    {charged}{f", {charges.quantities()}" if quantities else ""}
FROM {charges.priced(source, prices, discounts, "First", summed=True)}"""  # noqa: S608 - names of ours


def _aggregate(usage: Usage, name: str) -> str:
    if name.endswith("Digest"):
        return f"quantilesTDigestMergeState(0.5, 0.95, 0.99)({name})"
    return f"sum(Weight * {name})" if usage == "call_cost" else f"sum({name})"


def _stated(usage: Usage) -> str:
    if usage != "call_cost":
        return "sum(StatedCost)"
    # Of single calls what does not hold is there as well.
    return "sumIf(Weight * ifNull(StatedCost, 0), StatedBy != '')"


def _price_period(prices: str, discounts: str) -> str:
    """Between two of these days no price and no discount changes."""
    edges = " UNION ALL ".join(
        f"SELECT toUnixTimestamp(arrayJoin([ValidFrom, ValidTo])) AS day FROM {table}"  # noqa: S608 - ours
        for table in (prices, discounts)
    )
    days = f"""(SELECT groupUniqArray(day) FROM ({edges}) AS days
        WHERE day * 1000 > {{since:Int64}} AND day * 1000 < {{until:Int64}})"""  # noqa: S608 - names of ours
    # Mostly there are none: then nothing is asked of a row.
    return (
        f"if(empty({days} AS change_days), 0, arrayCount(day -> day <= toUnixTimestamp(Time), change_days))"
    )
