"""How a provider's usage CSV becomes rows that the ledger can be held against."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

#: Columns of the result: tokens of all kinds count into `input_tokens`, as in the store.
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


class UnreadableExport(ValueError):
    """The file is not such an export; the message says what is missing."""


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
    cost: tuple[str, ...] = ()
    adds_up: bool = False
    kind: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    quantity: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    clean_model: Callable[[str], str] = str


def read_export(export: Export, path: Path) -> pd.DataFrame:
    """Rows by `day` (YYYY-MM-DD, UTC) and `model`: `input_tokens` with cached ones in it,
    `cache_read_tokens`, `cache_write_tokens`, `output_tokens`, `requests`, `cost` in the file's currency.

    `requests` and `cost` are NaN where the file does not report them. Raises UnreadableExport.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UnreadableExport(f"{path} cannot be read as CSV: {error}") from error
    raw.columns = raw.columns.str.strip().str.lstrip("\ufeff").str.lower()
    data = pd.DataFrame(
        {
            "day": _days(_first(raw, export.day, export, "the day")),
            "model": _first(raw, export.model, export, "the model").map(export.clean_model),
        }
    )
    if export.kind:
        _long(raw, data, export)
    else:
        for name in TOKENS:
            data[name] = _sum(raw, export.tokens.get(name, ()))
        if not data[list(TOKENS)].notna().any(axis=None):
            raise UnreadableExport(f"{path} has no column with tokens of {export.name}'s export")
        data[list(TOKENS)] = data[list(TOKENS)].fillna(0)
        if export.adds_up:
            data["input_tokens"] += data["cache_read_tokens"] + data["cache_write_tokens"]
    data["requests"] = _sum(raw, export.requests)
    data["cost"] = _sum(raw, export.cost)
    grouped = data.groupby(["day", "model"], as_index=False)
    return grouped.sum(min_count=1).fillna(dict.fromkeys(TOKENS, 0))


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
    if seconds.notna().all() and (seconds > 1e8).all():
        moments = pd.to_datetime(seconds, unit="s", utc=True)
    else:
        moments = pd.to_datetime(texts, utc=True, errors="coerce", format="mixed")
    if moments.isna().any():
        raise UnreadableExport(f"{texts[moments.isna()].iloc[0]!r} is no day")
    return moments.dt.strftime("%Y-%m-%d")
