"""The formula of cost, written once: what of a call is charged, in which bucket, at whose price.

The store keeps inclusive counts: cached, audio and image tokens are parts of input, reasoning tokens of
output. Buckets are disjoint and add up to all of a call, so nothing is charged twice. The views, the reports
and the what-if read the same table, in SQL or in Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmtrace_collector.attributes.counts import COUNTS as COUNT_FIELDS
from llmtrace_collector.attributes.field import UNITS, Field, Price, words
from llmtrace_collector.attributes.names import RESPONSE_CACHE as RESPONSE_CACHE
from llmtrace_collector.attributes.parts import PartName
from llmtrace_collector.attributes.stated_costs import BILLERS
from llmtrace_collector.sql_values import literal, literals


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
    #: What a price is for: token, search, container, request, …
    unit: str = "token"
    #: How many of them a price of people's is for, and what they call so many.
    per: float = 1.0
    priced_unit: str = ""
    #: The unit of the public price list that is this bucket's.
    listed_as: str = ""
    #: The part of a call's cost in which it is told.
    part: PartName = "request"
    #: What is charged where it has no price of its own is not what it costs.
    own: bool = False
    #: A call may be billed by it and by nothing else.
    alone: bool = False

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
    request = Bucket(
        "Request", ("Requests",), setting="per_request", unit="request", listed_as="requests_kcount"
    )
    return (*tokens, request, *searches)


def _bucket(field: Field, price: Price, prices: Mapping[str, Price]) -> Bucket:
    parts = tuple(name for name, other in prices.items() if field.name in other.part_of)
    twice = tuple(name for name, other in prices.items() if len(set(other.part_of) & set(parts)) > 1)
    wholes = list(price.part_of)
    for whole in wholes:
        wholes += [further for further in prices[whole].part_of if further not in wholes]
    otherwise = tuple(prices[whole].bucket for whole in wholes)
    unit = UNITS[field.unit]
    return Bucket(
        price.bucket,
        (field.name, *twice),
        parts,
        otherwise,
        price.setting(field.unit),
        unit.name,
        unit.per,
        unit.priced or unit.name,
        price.listed_as,
        price.part,
        price.own,
        price.alone,
    )


BUCKETS = buckets(COUNT_FIELDS)

_BY_NAME = {bucket.name: bucket for bucket in BUCKETS}

#: Columns of the price book.
PRICES = tuple(bucket.price for bucket in BUCKETS)

#: Buckets of input that is written to the cache.
_CACHE_WRITES = ("CacheWrite", "CacheWrite1h")

_FACTOR = "ifNull(usage.Factor, 1)"

#: What the source of a price that the public list has begins with; people set all others.
PUBLIC_LIST = "genai-prices "

_BILLED = f"usage.StatedBy IN ({literals(BILLERS)})"

#: Whether a row's cost is the stated one: a biller's always, another's unless people set a price.
_STATED = (
    f"multiIf(usage.StatedBy = '', false, {_BILLED}, true, NOT price.Priced, true,"
    f" startsWith(price.Source, {literal(PUBLIC_LIST)}))"
)

#: How a row of usage finds the price that holds for it; `{time}` is the column of its time.
_PRICE_JOIN = """usage.Provider = price.Provider AND usage.Model = price.Model
    AND usage.ResponseModel = price.ResponseModel AND usage.ServiceTier = price.ServiceTier
    AND usage.{time} >= price.ValidFrom AND usage.{time} < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo
    AND usage.DayClass >= price.DayFrom AND usage.DayClass < price.DayTo"""

_DISCOUNT_JOIN = """usage.Project = discount.Project AND usage.Provider = discount.Provider
    AND usage.Model = discount.Model
    AND usage.{time} >= discount.ValidFrom AND usage.{time} < discount.ValidTo"""


def priced(
    source: str,
    prices: str = "price_now",
    discounts: str = "discount_now",
    time: str = "Time",
    summed: bool = False,
) -> str:
    """What stands after FROM: rows of `source` as `usage`, each with its `Units`, its `price` and discount
    `Factor`. Rows that are `summed` have units already, those of `unit_sums`."""
    # One join a level: with two, the engine would give `usage.*` other names.
    of_row = "" if summed else f", {units()} AS Units"
    discounted = (
        f"SELECT usage.*, discount.Factor AS Factor{of_row}\nFROM {source} AS usage\n"
        f"LEFT JOIN {discounts} AS discount\n    ON {_DISCOUNT_JOIN.format(time=time)}"
    )
    return f"({discounted}) AS usage\nLEFT JOIN {prices} AS price\n    ON {_PRICE_JOIN.format(time=time)}"


def columns(known: str = "price.Priced") -> str:
    """Select items of every charge over rows `usage` joined with `price`, as `priced` has them.

    `known` says whether the row's cost can be computed at all: where not, what is computed is NULL. `Stated`
    says that `Cost` is what was stated, as `cost` has it: then no bucket is charged, for nobody says how it
    is made up. `ComputedCost` is what it would be by the book, `ListCost` without a discount,
    `CacheWritePremium` what writing to the cache cost beyond fresh input, `CacheSavings` what cache reads
    saved against it less that, and `UnpricedParts` names what was used and is in the cost at no price or at
    another's.
    """
    items = [cost(known)]
    items += [
        f"multiIf(Stated, NULL, {known}, {_list(bucket)} * {_FACTOR}, NULL) AS {bucket.cost}"
        for bucket in BUCKETS
    ]
    items.append(f"multiIf({known}, {_LIST_COST}, Stated, usage.StatedCost, NULL) AS ListCost")
    fresh, cached = (_price(_BY_NAME[name]) for name in ("Input", "CacheRead"))
    premium = " + ".join(
        f"{_units_of(_BY_NAME[name])} * ({_price(_BY_NAME[name])} - {fresh})" for name in _CACHE_WRITES
    )
    items.append(f"if({known}, ({premium}) * {_FACTOR}, NULL) AS CacheWritePremium")
    saved = f"usage.CacheReadTokens * ({fresh} - {cached})"
    items.append(f"if({known}, {saved} * {_FACTOR}, NULL) - CacheWritePremium AS CacheSavings")
    items.append(_unpriced_parts(known))
    return ",\n    ".join(items)


def cost(known: str = "price.Priced") -> str:
    """The select items `Priced`, `Stated`, `ComputedCost` and `Cost` of `columns`, for those who ask for
    nothing else.

    What a biller states holds as it is; what others computed is by a list, of which a discount is taken.
    """
    stated = "usage.StatedCost"
    return ",\n    ".join(
        (
            f"{_STATED} AS Stated",
            "(price.Priced OR Stated) AS Priced",
            f"if({known}, {_LIST_COST} * {_FACTOR}, NULL) AS ComputedCost",
            f"multiIf(NOT Stated, ComputedCost, {_BILLED}, {stated}, {stated} * {_FACTOR}) AS Cost",
        )
    )


def units() -> str:
    """What each bucket of a row `usage` is charged for, in the order of BUCKETS: an array."""
    return f"[{', '.join(map(_units, BUCKETS))}]"


def unit_sums(weight: str = "") -> str:
    """The select item `Units` of rows `usage` added up, each as often as `weight` says. Units are never fewer
    than none in any row, so sums are the same however rows are grouped."""
    times = f"arrayMap(unit -> unit * {weight}, {units()})" if weight else units()
    return f"sumForEach({times}) AS Units"


def quantities() -> str:
    """Select items of what every bucket is charged for: its units, and their cost by the list
    (`CacheReadQuantity`, `CacheReadList`)."""
    items = []
    for bucket in BUCKETS:
        items.append(f"{_units_of(bucket)} AS {bucket.name}Quantity")
        items.append(f"{_list(bucket)} AS {bucket.name}List")
    return ",\n    ".join(items)


def rates() -> str:
    """The rates of a row of the price book: what a unit of each bucket costs, in the order of BUCKETS. Of one
    that has no price the nearest that is there holds."""
    tried = (", ".join(f"{name}Price" for name in (bucket.name, *bucket.otherwise)) for bucket in BUCKETS)
    return f"[{', '.join(f'coalesce({names}, 0)' for names in tried)}]"


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


def _unpriced_parts(known: str) -> str:
    """Buckets that have no price of their own where nothing else's can stand for it: audio, searches, …"""
    words = []
    for bucket in BUCKETS:
        if bucket.own or (not bucket.otherwise and bucket.name not in _ALWAYS_PRICED):
            counted = " + ".join(map(_count, bucket.counts))
            words.append(f"if(price.{bucket.price} IS NULL AND {counted} > 0, {literal(bucket.label)}, '')")
    texts = f"arrayFilter(label -> label != '', [{', '.join(words)}])"
    return f"multiIf(Stated, [], {known}, {texts}, []) AS UnpricedParts"


#: No price of theirs is a price of nothing: free input, and what is not asked per call.
_ALWAYS_PRICED = ("Input", "Output", "Request")


def _list(bucket: Bucket) -> str:
    return f"{_units_of(bucket)} * {_price(bucket)}"


def _units_of(bucket: Bucket) -> str:
    return f"usage.Units[{BUCKETS.index(bucket) + 1}]"


def _units(bucket: Bucket) -> str:
    less = "".join(f" - {_count(name)}" for name in bucket.less)
    first, *more = map(_count, bucket.counts)
    text = " + ".join([f"toFloat64({first})", *more])
    return f"greatest({text}{less}, 0)" if less else text


def _count(name: str) -> str:
    return "(usage.Calls - usage.UnknownUsage)" if name == "Requests" else f"usage.{name}"


def _price(bucket: Bucket) -> str:
    return f"price.Rates[{BUCKETS.index(bucket) + 1}]"


#: What all units of a row cost by the list. Where nothing joins there is no rate.
_LIST_COST = f"dotProduct(usage.Units, arrayResize(price.Rates, {len(BUCKETS)}))"

#: Lengths of input at which calls are told apart; prices by context length change at one of them.
CONTEXT_BOUNDS = (0, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)

#: Minutes since midnight, UTC, at which calls are told apart; prices by the time of day change at them.
DAY_BOUNDS = (0, 30, 60, 240, 360, 600, 990)

#: The end of a day, in the same minutes.
DAY_END = 1440
