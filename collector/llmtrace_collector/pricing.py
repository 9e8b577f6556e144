"""Prices of the models that the store has seen: the user's own first, then the public list.

Only pairs named by provider and model are looked up, and each once, so that a hundred million calls of one
model cost one look-up. A pair that nobody knows a price for is written down as unpriced, never as free.

`price_book` holds every tariff (by day, length of input and service tier); `prices` one flat price a pair,
which is the tariff of today for short inputs.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import genai_prices

from .settings import ModelPrice
from .store.store import Store
from .tariffs import ALWAYS, Tariff, listing

#: Name of a book of the public list and the user's own prices; a change of either makes another.
BookName = str


class Pricing:
    """Fills `prices` and `price_book`. `sync` is one pass."""

    def __init__(self, store: Store, own: Sequence[ModelPrice]) -> None:
        self._store = store
        self._own = own
        self._version = f"genai-prices {genai_prices.__version__} {_fingerprint(own)}"
        self._set: list[dict[str, Any]] = []
        self._turn = threading.Lock()
        self.book: BookName = book_name(own)
        self._offered = ""

    def sync(self) -> int:
        """Price every (provider, model, response model) that the current list has no row of; their number."""
        with self._turn:
            self._sync_book()
            return self._sync_flat()

    def _sync_flat(self) -> int:
        pairs = self._store.rows(_UNPRICED_PAIRS, {"version": self._version})
        now = datetime.now(UTC).timestamp()
        rows = []
        for pair in pairs:
            price = _today(self.tariffs(pair["Provider"], pair["Model"], pair["ResponseModel"]), now)
            rows.append(
                {
                    **pair,
                    "Priced": price is not None,
                    "InputPrice": price.input if price else None,
                    "CacheReadPrice": price.cache_read if price else None,
                    "CacheWritePrice": price.cache_write if price else None,
                    "OutputPrice": price.output if price else None,
                    "Currency": "USD",
                    "Source": price.source if price else "",
                    "Version": self._version,
                    "UpdatedAt": f"{now:.3f}",
                }
            )
        self._store.insert_rows("prices", rows)
        return len(rows)

    def tariffs(
        self, provider: str, model: str, response_model: str, service_tier: str = ""
    ) -> tuple[Tariff, ...]:
        """The tariffs of one pair, none where nobody knows its price. A price of one's own goes by the name
        that was asked for, else the one that answered; the list's by the one that answered first.
        """
        tariffs = self._first_known(provider, model, response_model, service_tier)
        for row in self._set:
            if row["Model"] in (model, response_model) and row["Provider"] in ("", provider):
                tariffs = _from_day_on(tariffs, row)
        return tariffs

    def _first_known(
        self, provider: str, model: str, response_model: str, service_tier: str
    ) -> tuple[Tariff, ...]:
        for name in (model, response_model):
            for own in self._own:
                if own.model == name and own.provider in ("", provider):
                    return (_own_tariff(own),)
        for name in (response_model, model):
            found = listing(provider, name, service_tier)
            if found is not None:
                return found.tariffs
        return ()

    def _sync_book(self) -> None:
        self._set = self._store.rows(_SET_PRICES)
        self.book = book_name(self._own, self._set)
        in_effect = self._store.rows("SELECT argMax(Book, At) AS book FROM price_books")[0]["book"]
        # Pairs seen since are priced in the book in effect too, which may be an older one.
        for book in {self.book, in_effect} - {""}:
            unknown = self._store.rows(_PAIRS_NOT_IN_BOOK, {"book": book})
            rows = [row for pair in unknown for row in self._book_rows(book, pair)]
            self._store.insert_rows("price_book", rows)
        if self._offered != self.book:
            # A book that was never offered before takes effect; one that was left for another stays left.
            known = self._store.rows(
                "SELECT 1 FROM price_books WHERE Book = {book:String}", {"book": self.book}
            )
            if not known:
                choose_book(self._store, self.book, "llmtrace", "the current price list and own prices")
            self._offered = self.book

    def _book_rows(self, book: BookName, pair: dict[str, Any]) -> list[dict[str, Any]]:
        found = self.tariffs(pair["Provider"], pair["Model"], pair["ResponseModel"], pair["ServiceTier"])
        return [book_row(book, pair, tariff) for tariff in found] or [book_row(book, pair, None)]


def choose_book(store: Store, book: BookName, actor: str, note: str) -> None:
    """Put a book into effect; costs follow at once."""
    store.insert_rows(
        "price_books", [{"Book": book, "At": f"{time.time():.3f}", "Actor": actor, "Note": note}]
    )


def book_name(own: Sequence[ModelPrice], set_prices: Sequence[dict[str, Any]] = ()) -> BookName:
    """`genai-prices 0.2.3`, with a mark of the user's own prices where there are any."""
    name = f"genai-prices {genai_prices.__version__}"
    if not own and not set_prices:
        return name
    text = _fingerprint(own) + json.dumps(list(set_prices))
    return f"{name} own {hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _from_day_on(tariffs: Sequence[Tariff], row: dict[str, Any]) -> tuple[Tariff, ...]:
    """`tariffs` with a price that was set taking their place from its day on."""
    start = int(row["ValidFrom"])
    kept = [
        replace(each, valid=(each.valid[0], min(each.valid[1], start)))
        for each in tariffs
        if each.valid[0] < start
    ]
    own = Tariff(
        row["InputPrice"],
        row["CacheReadPrice"],
        row["CacheWritePrice"],
        row["OutputPrice"],
        valid=(start, ALWAYS[1]),
        source="llmtrace cost prices set",
    )
    return (*kept, own)


def book_row(book: BookName, pair: dict[str, Any], tariff: Tariff | None) -> dict[str, Any]:
    """A row of `price_book`; no tariff: looked up, and nobody knows."""
    shown = tariff or Tariff()
    return {
        "Book": book,
        **pair,
        "ValidFrom": shown.valid[0],
        "ValidTo": shown.valid[1],
        "ContextFrom": shown.context[0],
        "ContextTo": shown.context[1],
        "Priced": tariff is not None,
        "InputPrice": shown.input,
        "CacheReadPrice": shown.cache_read,
        "CacheWritePrice": shown.cache_write,
        "OutputPrice": shown.output,
        "ReasoningPrice": shown.reasoning,
        "RequestPrice": shown.request,
        "Currency": "USD",
        "Source": shown.source,
        "UpdatedAt": f"{time.time():.3f}",
    }


def _today(tariffs: Sequence[Tariff], now: float) -> Tariff | None:
    """The tariff of short inputs that holds now."""
    valid = [each for each in tariffs if each.valid[0] <= now < each.valid[1] and each.context[0] == 0]
    return valid[0] if valid else None


def _own_tariff(own: ModelPrice) -> Tariff:
    def per_token(per_million: float | None) -> float | None:
        return None if per_million is None else per_million / 1e6

    return Tariff(
        per_token(own.input_per_million),
        per_token(own.cache_read_per_million),
        per_token(own.cache_write_per_million),
        per_token(own.output_per_million),
        source="llmtrace.toml",
    )


def _fingerprint(own: Sequence[ModelPrice]) -> str:
    """Text that changes when the user's own prices do."""
    return json.dumps([price.model_dump(exclude_none=True) for price in own], separators=(",", ":"))


_UNPRICED_PAIRS = """SELECT DISTINCT Provider, Model, ResponseModel
FROM usage_10s
WHERE (Provider, Model, ResponseModel) NOT IN (
    SELECT Provider, Model, ResponseModel FROM prices WHERE Version = {version:String}
)"""

_PAIRS_NOT_IN_BOOK = """SELECT DISTINCT Provider, Model, ResponseModel, ServiceTier
FROM usage_hour
WHERE (Provider, Model, ResponseModel, ServiceTier) NOT IN (
    SELECT Provider, Model, ResponseModel, ServiceTier FROM price_book WHERE Book = {book:String}
)"""

# By day, so that each takes over from the one before; of one model and day the newest holds.
_SET_PRICES = """SELECT
    Provider,
    Model,
    toUnixTimestamp(ValidFrom) AS ValidFrom,
    argMax(InputPrice, At) AS InputPrice,
    argMax(tuple(CacheReadPrice), At).1 AS CacheReadPrice,
    argMax(tuple(CacheWritePrice), At).1 AS CacheWritePrice,
    argMax(OutputPrice, At) AS OutputPrice
FROM own_prices
GROUP BY Provider, Model, ValidFrom
ORDER BY ValidFrom, Provider, Model"""
