"""Price books: what is in them, how two differ, and what another one would change."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace.common.escaping import from_csv_cell
from llmtrace_analysis.queries.scope import Scope, frame
from llmtrace_collector.pricing.charges import BUCKETS
from llmtrace_collector.pricing.unit_prices import FIELDS

from . import report

#: Column of a price → the book's; USD per million tokens, per hour, or per piece.
_PRICES: Mapping[str, str] = MappingProxyType(
    {bucket.label.replace(" ", "_"): bucket.price for bucket in BUCKETS}
)
PRICES = tuple(_PRICES)
_COLUMN: Mapping[str, str] = MappingProxyType(
    {bucket.name: name for bucket, name in zip(BUCKETS, _PRICES, strict=True)}
)

_BOOKS = """SELECT
    Book AS book,
    max(At) AS last_in_effect_from,
    count() AS times,
    argMax(Actor, At) AS actor,
    argMax(Note, At) AS note,
    Book = (SELECT argMax(Book, At) FROM price_books) AS in_effect
FROM price_books
GROUP BY Book
ORDER BY last_in_effect_from DESC"""

_UNITS = ",\n    ".join(
    f"{bucket.price}{f' * {bucket.per:.0f}' if bucket.per != 1 else ''} AS {_COLUMN[bucket.name]}"
    for bucket in BUCKETS
)

_LIST = f"""SELECT
    Provider AS provider,
    Model AS model,
    ResponseModel AS response_model,
    ServiceTier AS tier,
    toString(toDate(ValidFrom)) AS valid_from,
    toUnixTimestamp(ValidFrom) AS start,
    toUnixTimestamp(ValidTo) AS end,
    ContextFrom AS context_from,
    ContextTo AS context_to,
    Priced AS priced,
    {_UNITS},
    Source AS source
FROM price_book FINAL
WHERE Book = {{book:String}}
ORDER BY provider, model, response_model, tier, start, context_from"""

_KNOWN = """SELECT 1 AS known FROM books_in_effect WHERE Book = {book:String}
UNION ALL SELECT 1 AS known FROM price_book WHERE Book = {book:String} LIMIT 1"""

_PAIR = ["provider", "model", "response_model", "tier"]


class NoSuchBook(LookupError):
    """There is no book of that name."""


def books(client: Client) -> pd.DataFrame:
    """Newest first: `book`, `last_in_effect_from`, `times`, `actor`, `note`, `in_effect`."""
    return frame(client, _BOOKS, {})


def in_effect(client: Client) -> str:
    """The book whose prices hold; empty before the first."""
    # Who chose it is for keys of every project, and this for all.
    return str(client.query("SELECT argMax(Book, At) FROM books_in_effect").result_rows[0][0])


def prices(client: Client, book: str) -> pd.DataFrame:
    """A book's rows: provider, model, response_model, tier, `valid_from`, `context_from`, `priced`, USD per
    million tokens by bucket (NaN where the more general price holds), per request and search, `source`.
    Raises NoSuchBook."""
    _check(client, book)
    data = frame(client, _LIST, {"book": book})
    for column in PRICES:
        data[column] = pd.to_numeric(data[column], errors="coerce")
    return data


def read_prices(source: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or JSON file with the columns of `prices`, as the collector takes own prices.

    Needed are `model`, `input` and `output` (per million tokens, USD unless a column `currency` says
    otherwise); unpriced rows are left out. Raises
    ValueError and KeyError.
    """
    if source.suffix == ".json":
        data = pd.read_json(source)
    else:
        data = pd.read_csv(source, keep_default_na=True).map(from_csv_cell)
    missing = [name for name in ("model", "input", "output") if name not in data]
    if missing:
        raise ValueError(f"it has no column {missing[0]!r}")
    if "context_from" in data and (data["context_from"] > 0).any():
        raise ValueError("a price of one's own is the same for every length of input: context_from must be 0")
    own_prices = []
    for row in data[data["input"].notna()].to_dict(orient="records"):
        known = {str(name): value for name, value in row.items() if not pd.isna(value)}
        prices = {FIELDS[name]: known[_COLUMN[name]] for name in FIELDS if _COLUMN[name] in known}
        entry = {**prices, "model": str(known["model"]), "provider": str(known.get("provider", ""))}
        entry["service_tier"] = str(known.get("tier", ""))
        entry["valid_from"] = str(known.get("valid_from", "1970-01-01"))
        if "currency" in known:
            entry["currency"] = str(known["currency"])
        own_prices.append({"output_per_million": 0.0, **entry})
    return own_prices


def differences(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Prices that are not the same in two books: the keys of a price, `price`, `before` and `after` (USD per
    million tokens; NaN: none)."""
    keys = [*_PAIR, "valid_from", "context_from"]
    sides = [
        data.melt(id_vars=keys, value_vars=list(PRICES), var_name="price", value_name=name).dropna()
        for data, name in ((before, "before"), (after, "after"))
    ]
    joined = sides[0].merge(sides[1], on=[*keys, "price"], how="outer")
    same = (joined["before"] - joined["after"]).abs() <= 1e-9 * joined[["before", "after"]].max(axis=1)
    return joined[~same].reset_index(drop=True)


def reprice(client: Client, scope: Scope, before: str, after: str) -> pd.DataFrame:
    """What the same usage costs by two books: one row per `day` and `model` that differs, greatest first.

    Columns: `day`, `model`, `calls`, `before`, `after` (NaN: unpriced), `difference`. Raises NoSuchBook.
    """
    sides = []
    for name, book in (("before", before), ("after", after)):
        _check(client, book)
        data = report.report(client, scope, ["day", "model"], book=book)
        sides.append(data.set_index(["day", "model"])[["calls", "cost"]].rename(columns={"cost": name}))
    grouped = sides[0].join(sides[1][["after"]], how="outer").reset_index()
    grouped["difference"] = grouped["after"].fillna(0) - grouped["before"].fillna(0)
    newly = grouped["before"].isna() != grouped["after"].isna()
    changed = grouped[newly | (grouped["difference"].abs() > 1e-12)]
    order = changed["difference"].abs().sort_values(ascending=False, kind="stable").index
    return changed.loc[order].reset_index(drop=True)


def _check(client: Client, book: str) -> None:
    """A book without a price, as before the first call, is one too; so is one that was never in effect."""
    if frame(client, _KNOWN, {"book": book}).empty:
        known = ", ".join(repr(name) for name in books(client)["book"]) or "none yet"
        raise NoSuchBook(f"there is no book {book!r}; there are {known}")
