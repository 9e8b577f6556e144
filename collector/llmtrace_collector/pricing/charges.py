"""The formula of cost, written once: what of a call is charged, in which bucket, at whose price.

The store keeps inclusive counts: cached, audio and image tokens are parts of input, reasoning tokens of
output. Buckets are disjoint and add up to all of a call, so nothing is charged twice. The views, the reports
and the what-if read the same table, in SQL or in Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmtrace_collector.attributes.counts import COUNTS as COUNT_FIELDS
from llmtrace_collector.attributes.field import Field, Price, words
from llmtrace_collector.attributes.names import RESPONSE_CACHE as RESPONSE_CACHE
from llmtrace_collector.attributes.parts import PartName


@dataclass(frozen=True)
class Bucket:
    """A part of usage with a price of its own.

    `counts` less `less` are its units, never fewer than none. Where the book has no price for it, that of
    the first of `otherwise` that has one holds; where none has, it costs nothing.
    """

    name: str
    counts: tuple[str, ...]
    less: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    #: The field in which people write its price: USD per million tokens, or each.
    setting: str = ""
    #: What a price is for: token, search or request.
    unit: str = "token"
    #: The unit of the public price list that is this bucket's.
    listed_as: str = ""
    #: The part of a call's cost in which it is told.
    part: PartName = "request"

    @property
    def label(self) -> str:
        """Its name in words: `cache write 1h`."""
        return words(self.name)

    @property
    def cost(self) -> str:
        """Its column of cost."""
        return f"{self.name}Cost"

    @property
    def price(self) -> str:
        """Its column of the price book: USD per token, request or search."""
        return f"{self.name}Price"


#: Columns of counts in the rollups; `Requests` is made of `Calls` and `UnknownUsage`.
COUNTS = tuple(field.name for field in COUNT_FIELDS)


def buckets(fields: Sequence[Field]) -> tuple[Bucket, ...]:
    """The buckets that counts are charged in, tokens first, then requests and searches.

    Of a count its parts are charged apart. What is a part of two of those was taken away twice: it is counted
    once more. Where a price is missing, that of what a count is a part of holds, the nearest first.
    """
    prices = {field.name: field.price for field in fields if field.price is not None}
    of_counts = [_bucket(field, field.price, prices) for field in fields if field.price is not None]
    tokens = [bucket for bucket in of_counts if bucket.unit == "token"]
    searches = [bucket for bucket in of_counts if bucket.unit != "token"]
    request = Bucket("Request", ("Requests",), (), (), "per_request", "request", "requests_kcount")
    return (*tokens, request, *searches)


def _bucket(field: Field, price: Price, prices: Mapping[str, Price]) -> Bucket:
    parts = tuple(name for name, other in prices.items() if field.name in other.part_of)
    twice = tuple(name for name, other in prices.items() if len(set(other.part_of) & set(parts)) > 1)
    wholes = list(price.part_of)
    for whole in wholes:
        wholes += [further for further in prices[whole].part_of if further not in wholes]
    otherwise = tuple(prices[whole].bucket for whole in wholes)
    unit = "token" if field.unit == "tokens" else "search"
    setting = price.setting(field.unit)
    counts = (field.name, *twice)
    return Bucket(price.bucket, counts, parts, otherwise, setting, unit, price.listed_as, price.part)


BUCKETS = buckets(COUNT_FIELDS)

_BY_NAME = {bucket.name: bucket for bucket in BUCKETS}

#: Columns of the price book.
PRICES = tuple(bucket.price for bucket in BUCKETS)

#: How a row of usage finds the price that holds for it; `{time}` is the column of its time.
_PRICE_JOIN = """usage.Provider = price.Provider AND usage.Model = price.Model
    AND usage.ResponseModel = price.ResponseModel AND usage.ServiceTier = price.ServiceTier
    AND usage.{time} >= price.ValidFrom AND usage.{time} < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo"""

_DISCOUNT_JOIN = """usage.Project = discount.Project AND usage.Provider = discount.Provider
    AND usage.Model = discount.Model
    AND usage.{time} >= discount.ValidFrom AND usage.{time} < discount.ValidTo"""


def priced(
    source: str, prices: str = "price_now", discounts: str = "discount_now", time: str = "Time"
) -> str:
    """What stands after FROM: rows of `source` as `usage`, each with its `price` and discount `Factor`."""
    # One join a level: with two, the engine would give `usage.*` other names.
    discounted = (
        f"SELECT usage.*, discount.Factor AS Factor\nFROM {source} AS usage\n"
        f"LEFT JOIN {discounts} AS discount\n    ON {_DISCOUNT_JOIN.format(time=time)}"
    )
    return f"({discounted}) AS usage\nLEFT JOIN {prices} AS price\n    ON {_PRICE_JOIN.format(time=time)}"


def columns(known: str = "price.Priced", summed: bool = False) -> str:
    """Select items of every charge over rows `usage` joined with `price`, as `priced` has them.

    `known` says whether the row's cost can be told at all: it is NULL where not. Rows that are `summed` have
    the columns of `unit_sums`. `ListCost` is what it would be without a discount, `CacheSavings` what cache
    reads saved against fresh input.
    """
    factor = "ifNull(usage.Factor, 1)"
    lists = {bucket.cost: f"{_units(bucket, summed)} * {_price(bucket)}" for bucket in BUCKETS}
    items = [f"if({known}, {text} * {factor}, NULL) AS {name}" for name, text in lists.items()]
    items.append(f"if({known}, {' + '.join(lists.values())}, NULL) AS ListCost")
    items.append(f"if({known}, ({' + '.join(lists.values())}) * {factor}, NULL) AS Cost")
    fresh, cached = _price(_BY_NAME["Input"]), _price(_BY_NAME["CacheRead"])
    saved = f"{_count('CacheReadTokens', summed)} * ({fresh} - {cached})"
    items.append(f"if({known}, {saved} * {factor}, NULL) AS CacheSavings")
    return ",\n    ".join(items)


def unit_sums(weight: str = "") -> str:
    """Select items of rows `usage` added up, each as often as `weight` says: where a bucket's units are a
    difference, the greater of what it counts and what that is less.

    So units are never fewer than none in any row, and sums are the same however rows are grouped.
    """
    times = f"{weight} * " if weight else ""
    sums = []
    for bucket in BUCKETS:
        if bucket.less:
            counted, less = (" + ".join(map(_count, names)) for names in (bucket.counts, bucket.less))
            sums.append(f"sum({times}greatest({counted}, {less})) AS {bucket.name}Whole")
    return ", ".join(sums)


def quantities() -> str:
    """Select items of what every bucket is charged for, over `summed` rows as in `columns`: its units, and
    their cost by the list (`CacheReadQuantity`, `CacheReadList`)."""
    items = []
    for bucket in BUCKETS:
        items.append(f"{_units(bucket, summed=True)} AS {bucket.name}Quantity")
        items.append(f"{bucket.name}Quantity * {_price(bucket)} AS {bucket.name}List")
    return ",\n    ".join(items)


def unit_prices() -> str:
    """Select items of the unit prices that hold, fallbacks filled in and discounts not."""
    return ",\n    ".join(f"{_price(bucket)} AS {bucket.price}" for bucket in BUCKETS)


def amount(counts: Mapping[str, float], prices: Mapping[str, float | None]) -> float:
    """The list cost in USD of `counts` (COUNTS and `Requests`) at `prices` (names of buckets), as the views
    compute it."""
    total = 0.0
    for bucket in BUCKETS:
        units = sum(counts.get(name, 0) for name in bucket.counts)
        units = max(0.0, units - sum(counts.get(name, 0) for name in bucket.less))
        tried = (prices.get(name) for name in (bucket.name, *bucket.otherwise))
        total += units * next((price for price in tried if price is not None), 0.0)
    return total


def _price(bucket: Bucket) -> str:
    tried = ", ".join(f"price.{name}Price" for name in (bucket.name, *bucket.otherwise))
    return f"coalesce({tried}, 0)"


def _units(bucket: Bucket, summed: bool = False) -> str:
    less = "".join(f" - {_count(name, summed)}" for name in bucket.less)
    if summed and less:
        return f"(toFloat64(usage.{bucket.name}Whole){less})"
    first, *more = (_count(name, summed) for name in bucket.counts)
    text = " + ".join([f"toFloat64({first})", *more])
    return f"greatest({text}{less}, 0)" if less else text if len(bucket.counts) == 1 else f"({text})"


def _count(name: str, summed: bool = False) -> str:
    prefix = "Sum" if summed else ""
    if name == "Requests":
        return f"(usage.{prefix}Calls - usage.{prefix}UnknownUsage)"
    return f"usage.{prefix}{name}"


#: Lengths of input at which calls are told apart; prices by context length change at one of them.
CONTEXT_BOUNDS = (0, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
