"""Cost of usage, added up before it is priced: the one source of every sum with prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from . import charges

#: What usage is read from: the rollups, or the counted calls, each as often as it stands for.
Usage = Literal["usage_hour", "usage_10s", "call_cost"]

_COUNTS = ("Calls", "Errors", "UnknownUsage", *charges.COUNTS)


def priced_sums(
    usage: Usage,
    names: Mapping[str, str],
    where: str,
    book: str = "",
    also: Sequence[str] = (),
    of_price: Sequence[str] = (),
    quantities: bool = False,
) -> str:
    """SELECT over `usage` with what it cost: `names` (column → its SQL), the counts, `Priced`, the charges
    of every bucket, the columns `also` (counts, or states of an aggregate: names that end with `Digest`),
    columns `of_price` of the price book, and the `quantities` that are charged.

    A month of ten million calls is a million rows, but only thousands that differ in what a price depends on:
    they are added up first. Prices are those of the book in effect, or of that in the parameter `book` where
    it is not empty; `since` and `until` (milliseconds) are parameters too.
    """
    chosen = "Book = {book:String}"
    prices = f"(SELECT * FROM price_book FINAL WHERE {chosen})" if book else "price_now"  # noqa: S608 - ours
    discounts = f"(SELECT * FROM discount_book FINAL WHERE {chosen})" if book else "discount_now"  # noqa: S608
    keys = "".join(f"{sql} AS `{name}`, " for name, sql in names.items())
    groups = "".join(f"`{name}`, " for name in names)
    wanted = (*_COUNTS, *also)
    sums = ", ".join(f"{_aggregate(usage, name)} AS Sum{name}" for name in wanted)
    counts = ", ".join(f"usage.Sum{name} AS {name}" for name in wanted)
    picked = "".join(f"usage.`{name}` AS `{name}`, " for name in names)
    of_book = "".join(f"price.{name} AS {name}, " for name in of_price)
    pair = "Provider, Model, ResponseModel, ServiceTier, ContextClass"
    # Where nobody has a discount, projects need not be told apart.
    whose = f"if((SELECT count() FROM {discounts}) = 0, '', Project)"  # noqa: S608 - ours
    added = f"""SELECT {keys}{pair}, {whose} AS Whose, {_price_period(prices, discounts)} AS Spell,
        min(Time) AS First, {sums},
        {charges.unit_sums("Weight" if usage == "call_cost" else "")}
    FROM {usage} AS usage
    WHERE {where}
    GROUP BY {groups}{pair}, Whose, Spell"""  # noqa: S608 - names of ours
    source = f"(SELECT *, Whose AS Project FROM ({added}))"  # noqa: S608 - names of ours
    return f"""SELECT {picked}{counts}, {of_book}price.Priced AS Priced,
    {charges.columns(summed=True)}{f", {charges.quantities()}" if quantities else ""}
FROM {charges.priced(source, prices, discounts, "First")}"""  # noqa: S608 - names of ours


def _aggregate(usage: Usage, name: str) -> str:
    if name.endswith("Digest"):
        return f"quantilesTDigestMergeState(0.5, 0.95, 0.99)({name})"
    return f"sum(Weight * {name})" if usage == "call_cost" else f"sum({name})"


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
