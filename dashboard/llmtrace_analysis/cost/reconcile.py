"""A provider's bill held against the ledger, by day, key and model, with the likely causes of gaps."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import Scope, frame

from . import gaps
from .billed_prices import list_cost
from .invoices.billed import HOUR_WRITES, TOKENS, plain_name
from .key_joins import KeyJoins, join_keys, records
from .priced_usage import DIMENSIONS, priced

__all__ = ["ours", "plain_name", "reconcile"]

_DAILY = {
    "day": DIMENSIONS["day"],
    "model": "if(ResponseModel = '', Model, ResponseModel)",
    "account": DIMENSIONS["account"],
}
_OF_PROVIDER = "startsWith(Provider, {provider:String})"

_OURS = f"""SELECT
    day,
    model,
    account,
    sum(Calls) AS requests,
    sumIf(Calls, NOT Priced) AS unpriced_calls,
    sum(UnknownUsage) AS calls_without_tokens,
    sum(InputTokens) AS input_tokens,
    sum(CacheReadTokens) AS cache_read_tokens,
    sum(CacheWriteTokens) AS cache_write_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(Cost) AS cost
FROM ({priced("usage_hour", _DAILY, where=_OF_PROVIDER)}) AS charges
GROUP BY day, model, account"""

_SUMS = ("requests", *TOKENS, "cost")
_OURS_ONLY = ("unpriced_calls", "calls_without_tokens")
_NAN = float("nan")

Amounts = dict[str, float]


def ours(client: Client, scope: Scope, provider: str) -> pd.DataFrame:
    """The ledger by `day`, `model` (the one that answered) and `account`, of one provider."""
    data = frame(client, _OURS, {**scope.params(), "provider": provider})
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    return data


def reconcile(
    theirs: pd.DataFrame,
    ledger: pd.DataFrame,
    provider: str = "",
    accounts_of: Mapping[str, Iterable[str]] | None = None,
) -> pd.DataFrame:
    """One row per day, key and model of either side, what differs and what is most unseen first.

    Columns: `day`, `key` (the provider's, several where they cannot be told apart), `key_name`, `account` (of
    the traced calls), `joined_by`, `model`, `matches`, `cause`, `unseen` (no span explains it); for requests,
    tokens and cost `…_invoice`, `…_ledger` (NaN where a side does not report it) and `…_difference`
    (invoice − ledger, what a side lacks counted as 0); `billed_cost` in USD, by the list where the provider
    states none, and `unseen_cost`, the part of it that no span explains. Models are the same when their names
    are, or differ in a date at the end. accounts_of: key id or name → accounts of its traced calls.
    """
    billed, traced = _completed(theirs), ledger.assign(account=ledger.get("account", ""))
    joins = join_keys(billed, traced, accounts_of)
    rows = _rows(billed, traced, provider, joins)
    gaps.explain(rows)
    for row in rows:
        row["unseen_cost"] = _unseen_cost(row, provider)
    rows.sort(key=lambda row: (row["matches"], -row["unseen_cost"], -_gap(row), row["day"], row["model"]))
    return pd.DataFrame([{name: row[name] for name in _COLUMNS} for row in rows], columns=list(_COLUMNS))


_COLUMNS = (
    "day", "key", "key_name", "account", "joined_by", "model", "matches", "unseen", "cause",
    *(f"{name}_invoice" for name in _SUMS), *(f"{name}_ledger" for name in _SUMS), *_OURS_ONLY,
    *(f"{name}_difference" for name in _SUMS), "billed_cost", "unseen_cost",
)  # fmt: skip


def _completed(theirs: pd.DataFrame) -> pd.DataFrame:
    data = theirs.copy()
    texts = dict.fromkeys(("key", "key_name", "tier"), "")
    numbers = {HOUR_WRITES: 0.0, "requests": _NAN, "cost": _NAN}
    for defaults in (texts, numbers):
        for name, value in defaults.items():
            if name not in data:
                data[name] = value
    return data


def _rows(billed: pd.DataFrame, traced: pd.DataFrame, provider: str, joins: KeyJoins) -> list[dict[str, Any]]:
    """The rows of both sides, by group, day and model; without causes."""
    of_ledger: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in records(traced):
        group = joins.of_account.get(row["account"], "")
        of_ledger[group, str(row["day"]), plain_name(row["model"])].append(row)
    of_invoice: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in records(billed):
        row["billed_cost"] = _billed_cost(row, provider)
        where = (str(row["day"]), plain_name(row["model"]))
        group = joins.of_key.get(row["key"], "")
        if not group and ("", *where) not in of_ledger:
            # Nothing that is traced can be of it: the keys need not be compared together.
            group = gaps.UNJOINED + row["key"]
        of_invoice[group, *where].append(row)
    traced_groups = {group for group, _, _ in of_ledger}
    rows = []
    for cell in sorted(of_invoice.keys() | of_ledger.keys()):
        for theirs, ours in _parts(of_invoice.get(cell, []), of_ledger.get(cell, [])):
            row = _compared(cell, theirs, ours, joins)
            row["group_is_traced"] = cell[0] in traced_groups
            rows.append(row)
    return rows


def _parts(
    theirs: list[dict[str, Any]], ours: list[dict[str, Any]]
) -> list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """A cell, or two where just as much is missing as one of several keys was billed: that key is apart."""
    keys = {row["key"] for row in theirs}
    if len(keys) < 2 or not ours:
        return [(theirs, ours)]
    missing = [
        sum(row[name] for row in theirs) - sum(row[name] for row in ours)
        for name in ("input_tokens", "output_tokens")
    ]
    alike = []
    for key in keys:
        own = [
            sum(row[name] for row in theirs if row["key"] == key)
            for name in ("input_tokens", "output_tokens")
        ]
        if sum(own) > 0 and not any(map(gaps.differs, own, missing)):
            alike.append(key)
    if len(alike) != 1:
        return [(theirs, ours)]
    apart = [row for row in theirs if row["key"] == alike[0]]
    return [([row for row in theirs if row["key"] != alike[0]], ours), (apart, [])]


def _compared(
    cell: tuple[str, str, str], theirs: list[dict[str, Any]], ours: list[dict[str, Any]], joins: KeyJoins
) -> dict[str, Any]:
    group, day, model = cell
    row: dict[str, Any] = {
        "group": group,
        "day": day,
        "model": model,
        "key": ", ".join(sorted({item["key"] for item in theirs if item["key"]})),
        "key_name": ", ".join(sorted({item["key_name"] for item in theirs if item["key_name"]})),
        "account": ", ".join(sorted({item["account"] for item in ours if item["account"]})),
        "joined_by": joins.by.get(group, ""),
        "is_billed": bool(theirs),
        "is_traced": bool(ours),
        "billed_cost": _sum(theirs, "billed_cost"),
    }
    for name in _SUMS:
        first, second = _sum(theirs, name), _sum(ours, name)
        row[f"{name}_invoice"], row[f"{name}_ledger"] = first, second
        row[f"{name}_difference"] = _difference(first, second, bool(theirs), bool(ours))
    for name in _OURS_ONLY:
        row[name] = _sum(ours, name)
    return row


def _sum(rows: list[dict[str, Any]], name: str) -> float:
    """NaN where no row says a number."""
    numbers = [float(row[name]) for row in rows if row.get(name) is not None and not math.isnan(row[name])]
    return sum(numbers) if numbers else _NAN


def _difference(first: float, second: float, is_billed: bool, is_traced: bool) -> float:
    """NaN where a side that is there does not report it."""
    if (is_billed and math.isnan(first)) or (is_traced and math.isnan(second)):
        return _NAN
    return (0.0 if math.isnan(first) else first) - (0.0 if math.isnan(second) else second)


def _gap(row: Mapping[str, Any]) -> float:
    return abs(row["input_tokens_difference"]) if not math.isnan(row["input_tokens_difference"]) else 0.0


def _billed_cost(row: Mapping[str, Any], provider: str) -> float:
    if not math.isnan(row["cost"]):
        return float(row["cost"])
    listed = list_cost(provider, row["model"], str(row["day"]), row, row["tier"])
    return _NAN if listed is None else listed


def _unseen_cost(row: Mapping[str, Any], provider: str) -> float:
    """The part of the billed cost that no span explains, 0 where all is explained, or no cost is known.

    The missing tokens' share of all that were billed, by what they cost: so a discount, which no list knows,
    is no difference.
    """
    cost = row["billed_cost"]
    if not row["unseen"] or math.isnan(cost):
        return 0.0
    if not row["is_traced"]:
        return float(cost)
    missing = {name: row[f"{name}_difference"] for name in (*TOKENS, "requests")}
    every = {name: row[f"{name}_invoice"] for name in (*TOKENS, "requests")}
    part, whole = (list_cost(provider, row["model"], row["day"], amounts) for amounts in (missing, every))
    if not part or not whole:
        names = ("input_tokens", "output_tokens") if gaps.tokens(row) > 0 else ("requests",)
        part, whole = (sum(amounts[name] for name in names) for amounts in (missing, every))
    return float(cost * min(1.0, max(0.0, part / whole))) if whole else 0.0
