"""Prices of the models that the store has seen: the user's own first, then the public list.

Only pairs named by provider and model are looked up, and each once a book, so that a hundred million calls of
one model cost one look-up. A pair that nobody knows a price for is written down as unpriced, never as free.

A book is never changed, only added to as new pairs are seen: another version of the list, another price or
discount of one's own make another book.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import genai_prices

from llmtrace.semconv import PROVIDER_AWS_BEDROCK
from llmtrace_collector.pricing.charges import BUCKETS, PRICES, RESPONSE_CACHE
from llmtrace_collector.pricing.converted import in_usd
from llmtrace_collector.pricing.currencies import USD, ExchangeRate
from llmtrace_collector.pricing.discounts import Discount, discounts, shares
from llmtrace_collector.pricing.premiums import is_reserved
from llmtrace_collector.pricing.tariffs import ALWAYS, BILLED_APART, Tariff, listing
from llmtrace_collector.settings import ModelPrice
from llmtrace_collector.store.store import Store

#: Name of a book of the public list and the user's own prices; a change of either makes another.
BookName = str

#: Raised when another reading of the list fills more of the book, so that older books stay as they were.
_READING = 4

#: All usage is examined for pairs without a price so often; between, what was stored lately.
_WHOLE_SECONDS = 60
_ALL_USAGE = "usage_hour"

LIST_NAME = f"genai-prices {genai_prices.__version__}/{_READING}"


@dataclass(frozen=True)
class PriceOverrides:
    """What people set, beside llmtrace.toml: prices and fixed lines from a day on, and discounts."""

    prices: tuple[dict[str, Any], ...] = ()
    covered: tuple[dict[str, Any], ...] = ()
    discounts: tuple[Discount, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.prices or self.covered or self.discounts)

    def text(self) -> str:
        """Changes when any of them does."""
        return json.dumps([self.prices, self.covered, [vars(discount) for discount in self.discounts]])


class PriceBook:
    """Fills `price_book` and `discount_book`. `sync` is one pass."""

    def __init__(self, store: Store, own: Sequence[ModelPrice], rates: Sequence[ExchangeRate] = ()) -> None:
        """`rates` are those at which prices in other currencies become US dollars."""
        self._store = store
        self._own = own
        self.rates = rates
        self._lock = threading.Lock()
        self._last_book = ""
        # When all usage was last examined for a book, by the monotonic clock.
        self._whole: dict[BookName, float] = {}
        self.book: BookName = book_name(own, rates=rates)

    def sync(self, activate: bool = False) -> int:
        """Price what was seen and is in no book yet; the number of rows written.

        A book of other own prices takes effect by itself; one of another public list when it is activated
        (`activate`), or when there is none.
        """
        with self._lock:
            overrides = self._overrides()
            self.book = book_name(self._own, overrides, self.rates)
            chosen = next(iter(self._store.rows(_IN_EFFECT)), {"book": "", "actor": ""})
            in_effect = str(chosen["book"])
            self._note_models()
            # Pairs seen since are priced in the book in effect too, which may be an older one.
            written = self._fill(self.book, overrides)
            if in_effect and in_effect != self.book:
                written += self._fill(in_effect, self._overrides(in_effect))
            if self._should_activate(in_effect, chosen["actor"] == _ACTOR, activate):
                note = "the current price list and own prices"
                choose_book(self._store, self.book, _ACTOR, note)
            self._last_book = self.book
        return written

    def prepare(self, rows: Sequence[dict[str, Any]]) -> BookName:
        """Fill a book of the installed list and these rows of `own_prices`, beside those that were set, for
        comparisons; the book stays, the rows are not set, and it is not put into effect. Returns its name.
        """
        with self._lock:
            overrides = self._overrides()
            names = ("Provider", "Model", "ServiceTier", "ValidFrom")
            key = {tuple(row[name] for name in names): row for row in (*overrides.prices, *rows)}
            wanted = sorted(
                key.values(),
                key=lambda row: [str(row["ServiceTier"]), str(row["Provider"]), str(row["Model"])],
            )
            wanted.sort(key=lambda row: int(row["ValidFrom"]))
            columns = (*names, *PRICES, "Currency")
            prices = tuple({name: row[name] for name in columns if name in row} for row in wanted)
            overrides = replace(overrides, prices=tuple(map(_without_usd, prices)))
            book = book_name(self._own, overrides, self.rates)
            self._fill(book, overrides)
        return book

    def _should_activate(self, in_effect: BookName, by_itself: bool, activate: bool) -> bool:
        if activate or not in_effect:
            return self.book != in_effect
        if self.book in (in_effect, self._last_book) or _list_of(in_effect) != LIST_NAME:
            return False
        if by_itself:
            return True
        # One that somebody left for another stays left.
        return not self._store.rows(
            "SELECT 1 FROM price_books WHERE Book = {book:String}", {"book": self.book}
        )

    def _note_models(self) -> None:
        """Note which models each project has called: their prices are what it may read."""
        seen = self._store.rows(_MODELS_NOT_NOTED.format(usage=self._usage_to_examine(self.book)))
        self._store.insert_rows("models_used", seen)

    def _fill(self, book: BookName, overrides: PriceOverrides) -> int:
        began, usage = time.monotonic(), self._usage_to_examine(book)
        pairs = self._store.rows(_PAIRS_NOT_IN_BOOK.format(usage=usage), {"book": book})
        rows = [row for pair in pairs for row in self._book_rows(book, pair, overrides)]
        self._store.insert_rows("price_book", rows)
        reduced = []
        discounted = _NOT_DISCOUNTED.format(usage=usage)
        for seen in self._store.rows(discounted, {"book": book}) if overrides.discounts else ():
            for share in shares(overrides.discounts, seen["Project"], seen["Provider"], seen["Model"]):
                reduced.append(
                    {
                        "Book": book,
                        **seen,
                        "ValidFrom": share.start,
                        "ValidTo": share.end,
                        "Factor": share.factor,
                        "UpdatedAt": f"{time.time():.3f}",
                    }
                )
        self._store.insert_rows("discount_book", reduced)
        if usage == _ALL_USAGE:
            self._whole[book] = began
        return len(rows) + len(reduced)

    def _usage_to_examine(self, book: BookName) -> str:
        """The usage whose pairs may not be in a book: all of it now and then, else what was stored lately."""
        if time.monotonic() - self._whole.get(book, -math.inf) < _WHOLE_SECONDS:
            return f"usage_10s WHERE StoredAt >= now() - INTERVAL {2 * _WHOLE_SECONDS} SECOND"
        return _ALL_USAGE

    def tariffs(
        self,
        provider: str,
        model: str,
        response_model: str,
        service_tier: str = "",
        overrides: PriceOverrides | None = None,
    ) -> tuple[Tariff, ...]:
        """The tariffs of one pair, none where nobody knows its price. A price of one's own goes by the name
        that was asked for, else the one that answered; the list's by the one that answered first. Capacity
        that is paid anyway costs nothing by the token.
        """
        overrides = overrides or PriceOverrides()
        tariffs = self._first_known(provider, model, response_model, service_tier)
        needed = BILLED_APART.get(service_tier, "Input")
        for row in overrides.prices:
            named = row["Model"] in (model, response_model) and row["Provider"] in ("", provider)
            if named and row["ServiceTier"] in ("", service_tier) and row[f"{needed}Price"] is not None:
                prices = {
                    bucket.name: row[bucket.price] for bucket in BUCKETS if row[bucket.price] is not None
                }
                start = int(row["ValidFrom"])
                own_price = Tariff(prices, (start, ALWAYS[1]), source="llmtrace cost prices set")
                for tariff in in_usd(own_price, row.get("Currency", USD), self.rates):
                    tariffs = _spliced(tariffs, tariff)
        for row in overrides.covered:
            if row["Model"] in (model, response_model) and row["Provider"] in ("", provider):
                valid = int(row["ValidFrom"]), int(row["ValidTo"])
                tariffs = _spliced(tariffs, Tariff(_NOTHING, valid, source=f"fixed: {row['Name']}"))
        if is_reserved(provider, service_tier):
            return (Tariff(_NOTHING, source="reserved capacity: a fixed line"),)
        if service_tier == RESPONSE_CACHE:
            return (Tariff(_NOTHING, source="answered from a cache"),)
        return tariffs

    def _first_known(
        self, provider: str, model: str, response_model: str, service_tier: str
    ) -> tuple[Tariff, ...]:
        for name in (model, response_model):
            for own in self._own:
                fits = own.model == name and own.provider in ("", provider)
                fits = fits and BILLED_APART.get(service_tier, "Input") in own.per_unit()
                if fits and own.service_tier in ("", service_tier):
                    return in_usd(Tariff(own.per_unit(), source="llmtrace.toml"), own.currency, self.rates)
        # Bedrock's bodies name the model alone; what was asked for says where it runs too, which decides.
        names = (model, response_model) if provider == PROVIDER_AWS_BEDROCK else (response_model, model)
        for name in names:
            listed_model = listing(provider, name, service_tier)
            if listed_model is not None:
                return listed_model.tariffs
        return ()

    def _book_rows(
        self, book: BookName, pair: dict[str, Any], overrides: PriceOverrides
    ) -> list[dict[str, Any]]:
        tariffs = self.tariffs(
            pair["Provider"], pair["Model"], pair["ResponseModel"], pair["ServiceTier"], overrides
        )
        return [book_row(book, pair, tariff) for tariff in tariffs] or [book_row(book, pair, None)]

    def _overrides(self, book: BookName = "") -> PriceOverrides:
        """What people have set; with `book`, had set when that book took effect first."""
        until = {"book": book}
        covered = self._store.rows(_COVERED, until)
        of_projects = [
            Discount(
                row["Project"],
                row["Provider"],
                row["Model"],
                int(row["ValidFrom"]),
                100.0,
                int(row["ValidTo"]),
            )
            for row in covered
            if row["Project"]
        ]
        return PriceOverrides(
            tuple(map(_without_usd, self._store.rows(_SET_PRICES, until))),
            tuple(row for row in covered if not row["Project"]),
            (*discounts(self._store.rows(_SET_DISCOUNTS, until)), *of_projects),
        )


#: Who puts a book into effect where nobody asked.
_ACTOR = "llmtrace"
_NOTHING = {"Input": 0.0, "Output": 0.0}


def choose_book(store: Store, book: BookName, actor: str, note: str) -> None:
    """Put a book into effect; costs follow at once."""
    store.insert_rows(
        "price_books", [{"Book": book, "At": f"{time.time():.3f}", "Actor": actor, "Note": note}]
    )


def book_name(
    own: Sequence[ModelPrice],
    overrides: PriceOverrides | None = None,
    rates: Sequence[ExchangeRate] = (),
) -> BookName:
    """`genai-prices 0.2.3/2`, with a mark of the user's own prices where there are any, and of the rates
    where they are in other currencies.
    """
    if not own and not overrides:
        return LIST_NAME
    dumped = [price.model_dump(exclude_none=True) for price in own]
    codes = {price.currency for price in own} - {USD}
    for price in dumped:
        if price["currency"] == USD:
            del price["currency"]
    text = json.dumps(dumped, separators=(",", ":"))
    text += overrides.text() if overrides else ""
    codes |= {str(row["Currency"]) for row in (overrides.prices if overrides else ()) if "Currency" in row}
    text += "".join(rate.model_dump_json() for rate in rates if rate.currency in codes)
    return f"{LIST_NAME} own {hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _without_usd(row: dict[str, Any]) -> dict[str, Any]:
    """A price without its currency where that is the usual one: books of before have none."""
    return {name: value for name, value in row.items() if (name, value) != ("Currency", USD)}


def _list_of(book: BookName) -> str:
    """The public list that a book is made of."""
    return book.partition(" own ")[0]


def _spliced(tariffs: Sequence[Tariff], new: Tariff) -> tuple[Tariff, ...]:
    """`tariffs` with `new` in their place for as long as it holds."""
    start, end = new.valid
    remaining = []
    for tariff in tariffs:
        if tariff.valid[0] < start:
            remaining.append(replace(tariff, valid=(tariff.valid[0], min(tariff.valid[1], start))))
        if tariff.valid[1] > end:
            remaining.append(replace(tariff, valid=(max(tariff.valid[0], end), tariff.valid[1])))
    return (*remaining, new)


def book_row(book: BookName, pair: dict[str, Any], tariff: Tariff | None) -> dict[str, Any]:
    """A row of `price_book`; no tariff: looked up, and nobody knows."""
    effective = tariff or Tariff({})
    return {
        "Book": book,
        **pair,
        "ValidFrom": effective.valid[0],
        "ValidTo": effective.valid[1],
        "ContextFrom": effective.context[0],
        "ContextTo": effective.context[1],
        "DayFrom": effective.day[0],
        "DayTo": effective.day[1],
        "Priced": tariff is not None,
        **{bucket.price: effective.prices.get(bucket.name) for bucket in BUCKETS},
        "Currency": "USD",
        "Source": effective.source,
        "UpdatedAt": f"{datetime.now(UTC).timestamp():.3f}",
    }


_IN_EFFECT = """SELECT argMax(Book, At) AS book, argMax(Actor, At) AS actor
FROM price_books HAVING count() > 0"""

# The standard tier of every pair too: savings are counted against it.
_PAIRS_NOT_IN_BOOK = """SELECT DISTINCT Provider, Model, ResponseModel, arrayJoin(['', Tier]) AS ServiceTier
FROM (SELECT DISTINCT Provider, Model, ResponseModel, toString(ServiceTier) AS Tier FROM {usage}) AS seen
WHERE (Provider, Model, ResponseModel, ServiceTier) NOT IN (
    SELECT Provider, Model, ResponseModel, ServiceTier FROM price_book WHERE Book = {{book:String}}
)"""

_MODELS_NOT_NOTED = """SELECT *
FROM (SELECT DISTINCT Project, Provider, Model, ResponseModel FROM {usage}) AS seen
WHERE (Project, Provider, Model, ResponseModel) NOT IN (
    SELECT Project, Provider, Model, ResponseModel FROM models_used
)"""

_NOT_DISCOUNTED = """SELECT * FROM (SELECT DISTINCT Project, Provider, Model FROM {usage}) AS seen
WHERE (Project, Provider, Model) NOT IN (
    SELECT Project, Provider, Model FROM discount_book WHERE Book = {{book:String}}
)"""

# Up to when the overrides of a book were set: its first day in effect, or now.
_UNTIL = """({book:String} = '' OR At <= (SELECT min(At) FROM price_books WHERE Book = {book:String}))"""

# By day, so that each takes over from the one before; of one model, tier and day the newest holds.
_SET_PRICES = f"""SELECT
    Provider,
    Model,
    ServiceTier,
    toUnixTimestamp(ValidFrom) AS ValidFrom,
    {", ".join(f"argMax(tuple({name}), At).1 AS {name}" for name in PRICES)},
    argMax(Currency, At) AS Currency
FROM own_prices
WHERE {_UNTIL}
GROUP BY Provider, Model, ServiceTier, ValidFrom
ORDER BY ValidFrom, ServiceTier, Provider, Model"""  # noqa: S608 - names of ours

_SET_DISCOUNTS = f"""SELECT
    Project,
    Provider,
    Model,
    toUnixTimestamp(ValidFrom) AS ValidFrom,
    argMax(Percent, At) AS Percent
FROM own_discounts
WHERE {_UNTIL}
GROUP BY Project, Provider, Model, ValidFrom
ORDER BY Project, Provider, Model, ValidFrom"""  # noqa: S608 - names of ours

# Fixed lines that name a model: its calls are paid by them.
_COVERED = f"""SELECT
    argMax(Name, At) AS Name,
    argMax(Project, At) AS Project,
    argMax(Provider, At) AS Provider,
    argMax(Model, At) AS Model,
    toUnixTimestamp(argMax(ValidFrom, At)) AS ValidFrom,
    toUnixTimestamp(argMax(ValidTo, At)) AS ValidTo
FROM fixed_costs
WHERE {_UNTIL}
GROUP BY Id
HAVING Model != '' AND NOT argMax(Removed, At)
ORDER BY Id"""  # noqa: S608 - names of ours
