"""Price books: what is in them, how two differ, and what another one would change."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections import defaultdict

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_collector.tariffs import Tariff
from llmtrace_dashboard.queries.scope import USAGE_SCOPE, Scope, frame

from .whatif import amount

#: USD per million tokens.
PRICES = ("input", "cache_read", "cache_write", "output", "reasoning")

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

_LIST = """SELECT
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
    InputPrice * 1000000 AS input,
    CacheReadPrice * 1000000 AS cache_read,
    CacheWritePrice * 1000000 AS cache_write,
    OutputPrice * 1000000 AS output,
    ReasoningPrice * 1000000 AS reasoning,
    RequestPrice AS request,
    Source AS source
FROM price_book FINAL
WHERE Book = {book:String}
ORDER BY provider, model, response_model, tier, start, context_from"""

_USAGE = f"""SELECT
    toUnixTimestamp(toStartOfDay(Time)) AS day,
    Provider AS provider,
    Model AS model,
    ResponseModel AS response_model,
    ServiceTier AS tier,
    ContextClass AS context,
    sum(Calls) - sum(UnknownUsage) AS calls,
    sum(InputTokens) AS input_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(CacheWriteTokens) AS cache_write_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(ReasoningTokens) AS reasoning_tokens
FROM usage_hour
WHERE {USAGE_SCOPE}
GROUP BY day, provider, model, response_model, tier, context"""

_PAIR = ["provider", "model", "response_model", "tier"]


class NoSuchBook(LookupError):
    """There is no book of that name."""


def books(client: Client) -> pd.DataFrame:
    """Newest first: `book`, `last_in_effect_from`, `times`, `actor`, `note`, `in_effect`."""
    return frame(client, _BOOKS, {})


def in_effect(client: Client) -> str:
    """The book whose prices hold; empty before the first."""
    found = books(client)
    chosen = found[found["in_effect"].astype(bool)]
    return str(chosen["book"].iloc[0]) if len(chosen) else ""


def prices(client: Client, book: str) -> pd.DataFrame:
    """A book's rows: provider, model, response_model, tier, `valid_from`, `context_from`, `priced`, USD per
    million tokens by bucket (NaN where the more general price holds), per request, `source`. Raises
    NoSuchBook."""
    data = frame(client, _LIST, {"book": book})
    if data.empty:
        known = ", ".join(repr(name) for name in books(client)["book"]) or "none yet"
        raise NoSuchBook(f"there is no price in a book {book!r}; there are {known}")
    for column in (*PRICES, "request"):
        data[column] = pd.to_numeric(data[column], errors="coerce")
    return data


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


def usage(client: Client, scope: Scope) -> pd.DataFrame:
    """The scope's tokens by day, pair, tier and context class, as `amount` reads them."""
    return frame(client, _USAGE, scope.params())


def reprice(tokens: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """What the same usage costs by two books: one row per `day` and `model` that differs, greatest first.

    Columns: `day`, `model`, `calls`, `before`, `after` (NaN: unpriced), `difference`.
    """
    old, new = _tariffs(before), _tariffs(after)
    data = tokens.assign(
        before=[_cost(row, old) for row in tokens.itertuples(index=False)],
        after=[_cost(row, new) for row in tokens.itertuples(index=False)],
    )
    data["day"] = pd.to_datetime(data["day"], unit="s").dt.strftime("%Y-%m-%d")
    grouped = data.groupby(["day", "model"])[["calls", "before", "after"]].sum(min_count=1).reset_index()
    grouped["difference"] = grouped["after"].fillna(0) - grouped["before"].fillna(0)
    newly = grouped["before"].isna() != grouped["after"].isna()
    changed = grouped[newly | (grouped["difference"].abs() > 1e-12)]
    order = changed["difference"].abs().sort_values(ascending=False, kind="stable").index
    return changed.loc[order].reset_index(drop=True)


_Pair = tuple[str, str, str, str]


def _tariffs(book: pd.DataFrame) -> dict[_Pair, list[Tariff]]:
    found: dict[_Pair, list[Tariff]] = defaultdict(list)
    for row in book.to_dict(orient="records"):
        if not row["priced"]:
            continue
        units = {name: None if pd.isna(row[name]) else float(row[name]) / 1e6 for name in PRICES}
        found[_key(row["provider"], row["model"], row["response_model"], row["tier"])].append(
            Tariff(
                units["input"],
                units["cache_read"],
                units["cache_write"],
                units["output"],
                units["reasoning"],
                None if pd.isna(row["request"]) else float(row["request"]),
                valid=(int(row["start"]), int(row["end"])),
                context=(int(row["context_from"]), int(row["context_to"])),
            )
        )
    return found


def _key(*parts: object) -> _Pair:
    provider, model, response_model, tier = map(str, parts)
    return provider, model, response_model, tier


def _cost(row: object, tariffs: dict[_Pair, list[Tariff]]) -> float:
    found = tariffs.get(_key(*(getattr(row, name) for name in _PAIR)))
    return amount(row, found) if found else float("nan")
