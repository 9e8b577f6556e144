"""The write endpoints of the price book: prices of one's own from a day on, and the choice of a book."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime
from datetime import time as clock
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from .auth import Doors, owner
from .pricing import Pricing, choose_book
from .store.store import Store


class OwnPrice(BaseModel):
    """A price that holds from a day on, UTC; USD per million tokens."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(default="", max_length=128, description="Empty matches every provider.")
    model: str = Field(min_length=1, max_length=256)
    valid_from: date = date(1970, 1, 1)
    input_per_million: float = Field(ge=0, allow_inf_nan=False)
    output_per_million: float = Field(ge=0, allow_inf_nan=False)
    cache_read_per_million: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write_per_million: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    actor: str = Field(default="", max_length=256)
    note: str = Field(default="", max_length=4096)


class Choice(BaseModel):
    """Which book to put into effect, and why."""

    model_config = ConfigDict(extra="forbid")

    book: str = Field(min_length=1, max_length=256)
    actor: str = Field(default="", max_length=256)
    note: str = Field(default="", max_length=4096)


class Closing(BaseModel):
    """The month to close, `2026-11`, and who does."""

    model_config = ConfigDict(extra="forbid")

    month: str = Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    actor: str = Field(default="", max_length=256)


def router(store: Store, doors: Doors, pricing: Pricing) -> APIRouter:
    """The routes under /v1/prices, and /v1/cost/close. All need the admin key."""
    routes = APIRouter(dependencies=[Depends(owner(doors))])
    turn = threading.Lock()

    @routes.put("/v1/prices")
    def set_price(price: OwnPrice) -> dict[str, str]:
        """Keep the price and put the book that has it into effect; older books stay."""
        start = datetime.combine(price.valid_from, clock(), UTC).timestamp()
        if not 0 <= start < 2**32:
            raise HTTPException(422, "valid_from must lie between 1970 and 2106")
        store.insert_rows(
            "own_prices",
            [
                {
                    "Provider": price.provider,
                    "Model": price.model,
                    "ValidFrom": int(start),
                    "InputPrice": price.input_per_million / 1e6,
                    "CacheReadPrice": _per_token(price.cache_read_per_million),
                    "CacheWritePrice": _per_token(price.cache_write_per_million),
                    "OutputPrice": price.output_per_million / 1e6,
                    "At": f"{time.time():.3f}",
                    "Actor": price.actor,
                    "Note": price.note,
                }
            ],
        )
        pricing.sync()
        return {"book": pricing.book}

    @routes.post("/v1/prices/book")
    def choose(choice: Choice) -> dict[str, str]:
        """Put a kept book into effect."""
        known = store.rows("SELECT 1 FROM price_books WHERE Book = {book:String}", {"book": choice.book})
        if not known:
            raise HTTPException(
                404, f"there is no book {choice.book!r}; 'llmtrace cost prices books' lists them"
            )
        choose_book(store, choice.book, choice.actor, choice.note)
        pricing.sync()
        return {"book": choice.book}

    @routes.post("/v1/cost/close")
    def close_month(closing: Closing) -> dict[str, Any]:
        """Keep the figures of a month that is over. A closed month stays as it was closed."""
        if closing.month >= datetime.now(UTC).strftime("%Y-%m"):
            raise HTTPException(409, f"{closing.month} is not over yet")
        with turn:
            month = {"month": closing.month}
            if store.rows("SELECT 1 FROM cost_closed WHERE Month = {month:String} LIMIT 1", month):
                raise HTTPException(409, f"{closing.month} is closed already")
            rows = store.rows(_MONTH, month)
            at = f"{time.time():.3f}"
            store.insert_rows(
                "cost_closed",
                [{**row, "Month": closing.month, "At": at, "Actor": closing.actor} for row in rows],
            )
        if not rows:
            raise HTTPException(409, f"there is no call in {closing.month}")
        return {"month": closing.month, "rows": len(rows), "cost": sum(row["Cost"] or 0 for row in rows)}

    return routes


_MONTH = """SELECT
    Project,
    Provider,
    Model,
    sum(charge.Calls) AS Calls,
    sumIf(charge.Calls, NOT charge.Priced) AS UnpricedCalls,
    sum(charge.Cost) AS Cost,
    max(charge.Book) AS Book
FROM cost_hour AS charge
WHERE Time >= toDateTime(concat({month:String}, '-01 00:00:00'))
    AND Time < toDateTime(concat({month:String}, '-01 00:00:00')) + INTERVAL 1 MONTH AND NOT Simulated
GROUP BY Project, Provider, Model"""


def _per_token(per_million: float | None) -> float | None:
    return None if per_million is None else per_million / 1e6
