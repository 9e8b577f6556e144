"""How a provider's usage CSV becomes rows that the ledger can be held against."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from .billed import HOUR_WRITES, TOKENS, UnreadableExport, frame_of


@dataclass(frozen=True)
class Export:
    """Which columns of a CSV mean what; several columns for one meaning are added up.

    `adds_up`: input is given without cached tokens, which are added. `long`: a row is one kind of token,
    named by the column `kind` through `kinds` (pattern → meaning), with its amount in `quantity`.
    """

    name: str
    day: tuple[str, ...]
    model: tuple[str, ...]
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    requests: tuple[str, ...] = ()
    #: The first that is there, and what is added to it.
    cost: tuple[str, ...] = ()
    cost_besides: tuple[str, ...] = ()
    adds_up: bool = False
    kind: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    quantity: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    clean_model: Callable[[str], str] = str
    key: tuple[str, ...] = ()
    key_name: tuple[str, ...] = ()
    tier: tuple[str, ...] = ()
    #: What a tier's column says → the tier as the store names it; anything else is the usual one.
    tiers: Mapping[str, str] = field(default_factory=dict)
    #: A column of which every row is one request.
    request_id: tuple[str, ...] = ()
    #: Columns that name the service, and what is in them where the row is one of models.
    service: tuple[str, ...] = ()
    services: str = ""


def from_table(export: Export, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `billed.IDENTITY` and `billed.NUMBERS` from a table of texts: `input_tokens` with cached ones
    in it, `requests` and `cost` NaN where the table does not report them, cost in the table's currency.

    Raises UnreadableExport.
    """
    raw = table.copy()
    raw.columns = raw.columns.str.strip().str.lstrip("\ufeff").str.lower()
    raw = _of_models(raw, export)
    data = pd.DataFrame(
        {
            "day": _days(_first(raw, export.day, export, "the day")),
            "model": _first(raw, export.model, export, "the model").map(export.clean_model),
            "key": _optional(raw, export.key),
            "key_name": _optional(raw, export.key_name),
            "tier": _optional(raw, export.tier).str.lower().map(lambda text: _tier(text, export)),
        }
    )
    if export.kind:
        _long(raw, data, export)
    else:
        for name in (*TOKENS, HOUR_WRITES):
            data[name] = _sum(raw, export.tokens.get(name, ()))
        if not data[list(TOKENS)].notna().any(axis=None):
            raise UnreadableExport(f"there is no column with tokens of {export.name}'s export")
        if export.adds_up:
            data["input_tokens"] = data[list(TOKENS[:3])].sum(axis=1)
    data["requests"] = _sum(raw, export.requests)
    if any(name in raw for name in export.request_id):
        data["requests"] = data["requests"].fillna(1.0)
    cost = next((name for name in export.cost if name in raw), "")
    data["cost"] = _sum(raw, (cost, *export.cost_besides))
    return frame_of(data)


def _of_models(raw: pd.DataFrame, export: Export) -> pd.DataFrame:
    """Without rows of other services than models, where the table says which those are."""
    for name in export.service:
        if name in raw:
            return raw[raw[name].str.contains(export.services, case=False, regex=True)]
    return raw


def _tier(text: str, export: Export) -> str:
    return next((tier for pattern, tier in export.tiers.items() if re.search(pattern, text)), "")


def _long(raw: pd.DataFrame, data: pd.DataFrame, export: Export) -> None:
    """Spread rows of one kind of token each over the columns of tokens."""
    kinds = _first(raw, export.kind, export, "the kind of token").str.lower()
    amounts = _sum(raw, export.quantity).fillna(0)
    if export.unit:
        units = _first(raw, export.unit, export, "the unit").map(_multiple)
        amounts = amounts * units
    meanings = kinds.map(
        lambda text: next((to for pattern, to in export.kinds.items() if re.search(pattern, text)), "")
    )
    for name in TOKENS:
        data[name] = amounts.where(meanings == name, 0.0)
    data["input_tokens"] += data["cache_read_tokens"] + data["cache_write_tokens"]


def _multiple(unit: str) -> float:
    """What one of a unit like `1K`, `1M Tokens`, `1000` stands for."""
    match = re.search(r"(\d+(?:\.\d+)?)\s*([KM])?", unit.upper())
    if not match:
        return 1.0
    return float(match[1]) * {"K": 1e3, "M": 1e6}.get(match[2] or "", 1.0)


def _first(raw: pd.DataFrame, names: tuple[str, ...], export: Export, what: str) -> pd.Series:
    for name in names:
        if name in raw:
            return raw[name].str.strip()
    raise UnreadableExport(
        f"this is no usage export of {export.name}: {what} should be in a column {' or '.join(names)}; "
        f"there are {', '.join(map(str, raw.columns[:20]))}"
    )


def _optional(raw: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """The first of these columns that is there and says something; empty texts where none is."""
    texts = pd.Series("", index=raw.index, dtype=str)
    for name in reversed(names):
        if name in raw:
            texts = raw[name].str.strip().where(raw[name].str.strip() != "", texts)
    return texts


def _sum(raw: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    columns = [
        pd.to_numeric(raw[name].str.replace(",", ""), errors="coerce") for name in names if name in raw
    ]
    if not columns:
        return pd.Series(float("nan"), index=raw.index)
    return pd.concat(columns, axis=1).sum(axis=1, min_count=1)


def _days(texts: pd.Series) -> pd.Series:
    """Days as YYYY-MM-DD from dates, times or seconds since 1970."""
    seconds = pd.to_numeric(texts, errors="coerce")
    if len(texts) and seconds.notna().all() and (seconds > 1e8).all():
        moments = pd.to_datetime(seconds, unit="s", utc=True)
    else:
        moments = pd.to_datetime(texts, utc=True, errors="coerce", format="mixed")
    if moments.isna().any():
        raise UnreadableExport(f"{texts[moments.isna()].iloc[0]!r} is no day")
    return moments.dt.strftime("%Y-%m-%d")
