"""The endpoints of prices on their own, as an administrator of every project reaches them."""

from __future__ import annotations

from fastapi import Depends, FastAPI, Request

from llmtrace_collector.access.identity import Identity
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.api import prices
from llmtrace_collector.store.store import Store


def _as_admin(request: Request) -> None:
    """What the middleware of a whole collector finds out."""
    request.state.identity = Identity("admin_key", role="admin")


def prices_app(store: Store, price_book: PriceBook) -> FastAPI:
    """An application with the routes under /v1/prices and /v1/cost."""
    app = FastAPI(dependencies=[Depends(_as_admin)])
    app.include_router(prices.router(store, price_book))
    return app
