"""The write endpoints of costs: prices, discounts, fixed lines, the choice of a book, closed months."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from llmtrace.semconv import PURPOSE_SIMULATED
from llmtrace_collector.access.identity import Identity
from llmtrace_collector.accounting.price_book import LIST_NAME, PriceBook, choose_book
from llmtrace_collector.pricing.charges import BUCKETS
from llmtrace_collector.pricing.currencies import CODE, USD, has_rate
from llmtrace_collector.pricing.priced_sums import priced_sums
from llmtrace_collector.pricing.tariffs import ALWAYS
from llmtrace_collector.pricing.unit_prices import FIELDS, ProviderName, UnitPrices
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.store import Store

from .audit import audited


class SetPrice(UnitPrices):
    """A price that holds from a day on, UTC."""

    provider: ProviderName = Field(default="", max_length=128, description="Empty matches every provider.")
    model: str = Field(min_length=1, max_length=256)
    valid_from: date = date(1970, 1, 1)
    actor: str = Field(default="", max_length=256)
    note: str = Field(default="", max_length=4096)


class PriceUpdate(BaseModel):
    """Another version of the prices: the installed list's, and prices of one's own with it.

    With `dry_run` the book is filled, so that it can be compared; no price is set, and it is not put into
    effect.
    """

    model_config = ConfigDict(extra="forbid")

    prices: tuple[SetPrice, ...] = Field(default=(), max_length=10_000)
    dry_run: bool = False


class SetDiscount(BaseModel):
    """So many percent off the list price from a day on; empty names stand for all. 0 ends a discount."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field(default="", max_length=128)
    provider: ProviderName = Field(default="", max_length=128)
    model: str = Field(default="", max_length=256)
    percent: float = Field(ge=0, le=100, allow_inf_nan=False)
    valid_from: date = date(1970, 1, 1)
    actor: str = Field(default="", max_length=256)
    note: str = Field(default="", max_length=4096)


class FixedCost(BaseModel):
    """Capacity that is paid whether used or not: `units` at `price` in `currency` each `period`, or once for
    all its time (`total`). Calls of the model it names cost nothing by the token while it holds."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["reserved", "gpu", "hosting", "cache_storage", "other"]
    name: str = Field(min_length=1, max_length=256)
    project: str = Field(default="", max_length=128)
    provider: ProviderName = Field(default="", max_length=128)
    model: str = Field(default="", max_length=256)
    units: float = Field(default=1, gt=0, allow_inf_nan=False)
    price: float = Field(ge=0, allow_inf_nan=False)
    currency: str = Field(default=USD, pattern=CODE)
    period: Literal["hour", "month", "total"] = "hour"
    valid_from: date
    valid_to: date | None = None
    removed: bool = False
    actor: str = Field(default="", max_length=256)
    note: str = Field(default="", max_length=4096)


class BookSelection(BaseModel):
    """Which book to put into effect, and why."""

    model_config = ConfigDict(extra="forbid")

    book: str = Field(min_length=1, max_length=256)
    actor: str = Field(default="", max_length=256)
    note: str = Field(default="", max_length=4096)


class CloseMonth(BaseModel):
    """The month to close, `2026-11`, and who does."""

    model_config = ConfigDict(extra="forbid")

    month: str = Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    actor: str = Field(default="", max_length=256)


def router(store: Store, price_book: PriceBook) -> APIRouter:
    """The routes under /v1/prices, and /v1/cost/close. All need the admin key, or the dashboard's for an
    administrator."""
    routes = APIRouter()
    closing_lock = threading.Lock()

    @routes.put("/v1/prices")
    def set_price(price: SetPrice, request: Request) -> dict[str, str]:
        """Keep the price and put the book that has it into effect; older books stay."""
        _demand_rate(price, price_book)
        rows = [_price_row(price, request.state.identity)]
        target = f"{price.provider}/{price.model}"
        with audited(store, request, "prices.set", target, _detail(price)):
            store.insert_rows("own_prices", rows)
            price_book.sync(activate=True)
        return {"book": price_book.book}

    @routes.post("/v1/prices/update")
    def update(price_update: PriceUpdate, request: Request) -> dict[str, str]:
        """Take the installed price list, with these prices of one's own, as a new book."""
        for price in price_update.prices:
            _demand_rate(price, price_book)
        rows = [_price_row(price, request.state.identity) for price in price_update.prices]
        detail = f"{len(rows)} prices of one's own"
        if price_update.dry_run:
            with audited(store, request, "prices.prepare", LIST_NAME, detail):
                return {"book": price_book.prepare(rows)}
        with audited(store, request, "prices.update", LIST_NAME, detail):
            store.insert_rows("own_prices", rows)
            price_book.sync(activate=True)
        return {"book": price_book.book}

    @routes.put("/v1/prices/discounts")
    def set_discount(discount: SetDiscount, request: Request) -> dict[str, str]:
        """Keep the discount and put the book that has it into effect."""
        rows = [_row(discount, request.state.identity)]
        target = f"{discount.project}/{discount.provider}/{discount.model}"
        with audited(store, request, "prices.discount", target, _detail(discount)):
            store.insert_rows("own_discounts", rows)
            price_book.sync(activate=True)
        return {"book": price_book.book}

    @routes.put("/v1/cost/fixed/{line_id}")
    def set_fixed(
        line_id: Annotated[str, Path(pattern=r"^[\w.-]{1,64}$")], fixed_cost: FixedCost, request: Request
    ) -> dict[str, str]:
        """Keep a fixed line; the newest of an id holds."""
        _demand_rate(fixed_cost, price_book)
        if fixed_cost.valid_to is not None and fixed_cost.valid_to <= fixed_cost.valid_from:
            raise HTTPException(422, "valid_to must be after valid_from")
        if fixed_cost.period == "total" and fixed_cost.valid_to is None:
            raise HTTPException(422, "a line that is paid once needs its end: give valid_to")
        rows = [{"ValidTo": ALWAYS[1], **_row(fixed_cost, request.state.identity), "Id": line_id}]
        with audited(store, request, "cost.fixed", line_id, _detail(fixed_cost)):
            store.insert_rows("fixed_costs", rows)
            price_book.sync(activate=bool(fixed_cost.model))
        return {"id": line_id, "book": price_book.book}

    @routes.post("/v1/prices/book")
    def choose(selection: BookSelection, request: Request) -> dict[str, str]:
        """Put a kept book into effect."""
        known = store.rows("SELECT 1 FROM price_books WHERE Book = {book:String}", {"book": selection.book})
        if not known:
            raise HTTPException(
                404, f"there is no book {selection.book!r}; 'llmtrace cost prices books' lists them"
            )
        with audited(store, request, "prices.book", selection.book, _detail(selection)):
            actor = request.state.identity.actor_stated(selection.actor)
            choose_book(store, selection.book, actor, selection.note)
            price_book.sync()
        return {"book": selection.book}

    @routes.post("/v1/cost/close")
    def close_month(body: CloseMonth, request: Request) -> dict[str, Any]:
        """Keep the figures of a month that is over. A closed month stays as it was closed."""
        if body.month >= datetime.now(UTC).strftime("%Y-%m"):
            raise HTTPException(409, f"{body.month} is not over yet")
        with closing_lock:
            month = {"month": body.month}
            if store.rows("SELECT 1 FROM cost_closed WHERE Month = {month:String} LIMIT 1", month):
                raise HTTPException(409, f"{body.month} is closed already")
            rows = store.rows(_MONTH, _window(body.month))
            if not rows:
                raise HTTPException(409, f"there is no call in {body.month}")
            with audited(store, request, "cost.close", body.month, _detail(body)):
                closed = _row(body, request.state.identity)
                store.insert_rows("cost_closed", [{**row, **closed} for row in rows])
        return {"month": body.month, "rows": len(rows), "cost": sum(row["Cost"] or 0 for row in rows)}

    return routes


# What a provider bills: load tests and evaluations too, and no call that was made up.
_OF_MONTH = f"""Time >= fromUnixTimestamp64Milli({{since:Int64}})
    AND Time < fromUnixTimestamp64Milli({{until:Int64}}) AND Purpose != {literal(PURPOSE_SIMULATED)}"""

_KEYS = {"project": "Project", "provider": "Provider", "model": "Model"}

_MONTH = f"""SELECT
    {", ".join(f"{name} AS {column}" for name, column in _KEYS.items())},
    sum(charge.Calls) AS Calls,
    sumIf(charge.Calls, NOT charge.Priced) AS UnpricedCalls,
    sum(charge.Cost) AS Cost,
    max(charge.Book) AS Book
FROM ({
    priced_sums("usage_hour", _KEYS, _OF_MONTH, of_price=("Book",), counts=("Calls",), parts=False)
}) AS charge
GROUP BY {", ".join(_KEYS)}"""  # noqa: S608 - names of ours


def _window(month: str) -> dict[str, str]:
    """From when to when a month lasts, in milliseconds since 1970."""
    start = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    end = (start + timedelta(days=32)).replace(day=1)
    return {name: str(int(edge.timestamp()) * 1000) for name, edge in (("since", start), ("until", end))}


def _demand_rate(written: SetPrice | FixedCost, price_book: PriceBook) -> None:
    """Raise HTTPException for a currency that cannot be told in US dollars."""
    if not has_rate(written.currency, price_book.rates):
        raise HTTPException(
            422, f"there is no rate for {written.currency}; give one under [[dashboard.exchange_rates]]"
        )


def _price_row(price: SetPrice, identity: Identity) -> dict[str, Any]:
    units = price.per_unit()
    prices = {bucket.price: units.get(bucket.name) for bucket in BUCKETS}
    return {**_row(price, identity, leave_out=set(FIELDS.values())), **prices}


_Written = SetPrice | SetDiscount | FixedCost | BookSelection | CloseMonth


def _row(request: _Written, identity: Identity, leave_out: set[str] | None = None) -> dict[str, Any]:
    """A request as a row, written now: a column for each field that has a value, `valid_from` → `ValidFrom`;
    days as seconds since 1970; by whom its key says, or states. Raises HTTPException."""
    fields = request.model_dump(exclude=leave_out, exclude_none=True)
    fields["actor"] = identity.actor_stated(request.actor)
    row = {
        "".join(part.capitalize() for part in name.split("_")): _seconds(value)
        if isinstance(value, date)
        else value
        for name, value in fields.items()
    }
    return {**row, "At": f"{time.time():.3f}"}


def _detail(request: _Written) -> str:
    """The request but for its defaults, as JSON: what an auditor wants to know of it, its actor among it."""
    return request.model_dump_json(exclude_defaults=True)


def _seconds(day: date) -> int:
    """The start of a day, UTC, in seconds since 1970. Raises HTTPException."""
    start = int(datetime.combine(day, clock(), UTC).timestamp())
    if not 0 <= start < ALWAYS[1]:
        raise HTTPException(422, "a day must lie between 1970 and 2106")
    return start
