"""The write endpoints of the price book: prices of one's own from a day on, and the choice of a book."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from datetime import time as clock

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


def router(store: Store, doors: Doors, pricing: Pricing) -> APIRouter:
    """The routes under /v1/prices. All need the admin key."""
    routes = APIRouter(dependencies=[Depends(owner(doors))])

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

    return routes


def _per_token(per_million: float | None) -> float | None:
    return None if per_million is None else per_million / 1e6
