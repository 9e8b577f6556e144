"""What a provider bills, in one form: rows of usage, whose costs may be told apart from it."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

#: Columns of the result: tokens of all kinds count into `input_tokens`, as in the store.
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
#: Written for an hour, a part of `cache_write_tokens` with a price of its own.
HOUR_WRITES = "cache_write_1h_tokens"
#: Whose usage a row is, and of what. `key` is the provider's id, or its name where that is all it says.
IDENTITY = ("day", "key", "key_name", "project", "model", "tier")
#: What a token of a tier costs, of one of the usual tier: where a cost does not say of which tier it is.
_TIER_FACTORS = {"batch": 0.5, "flex": 0.5}
NUMBERS = (*TOKENS, HOUR_WRITES, "requests", "cost")


class UnreadableExport(ValueError):
    """The file is not such an export; the message says what is missing."""


@dataclass(frozen=True)
class StatedCost:
    """USD of a day that a provider states apart from usage.

    It is of the rows that have all of `of` (column → text), and is shared out among them by their `weight`, a
    column of tokens. `item` is what the provider calls it.
    """

    day: str
    item: str
    cost: float
    of: Mapping[str, str] = field(default_factory=dict)
    weight: str = ""


def frame_of(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """Rows by IDENTITY, added up: NUMBERS, NaN for what nobody told, but input and output, which are 0."""
    columns = [*IDENTITY, *NUMBERS]
    if isinstance(rows, pd.DataFrame):
        data = rows.reindex(columns=columns)
    else:
        data = pd.DataFrame(list(rows), columns=columns)
    data[list(IDENTITY)] = data[list(IDENTITY)].astype(object).fillna("").astype(str)
    data[list(NUMBERS)] = data[list(NUMBERS)].apply(pd.to_numeric, errors="coerce").astype("float64")
    grouped = data.groupby(list(IDENTITY), as_index=False)[list(NUMBERS)].sum(min_count=1)
    always = ("input_tokens", "output_tokens")
    counted = [name for name in (*TOKENS, HOUR_WRITES) if name in always or grouped[name].notna().any()]
    return grouped.fillna(dict.fromkeys(counted, 0.0))


def with_costs(usage: pd.DataFrame, costs: Iterable[StatedCost]) -> pd.DataFrame:
    """The usage with costs that were stated apart. What is of no row becomes one of its own, without tokens.

    Models are compared by their plain names. Among several rows a cost is shared out by the tokens that it is
    for, else by all tokens, else by requests, else evenly: their sum is what was stated.
    """
    data = usage.reset_index(drop=True)
    rows = [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]
    of_model: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        of_model[row["day"], plain_name(row["model"])].append(number)
    shares: dict[int, float] = {}
    apart: list[dict[str, Any]] = []
    for stated in costs:
        whose = {column: text for column, text in stated.of.items() if column != "model"}
        chosen = [
            number
            for number in of_model.get((stated.day, plain_name(stated.of.get("model", ""))), ())
            if all(rows[number][column] == text for column, text in whose.items())
        ]
        if not chosen:
            apart.append({"day": stated.day, "model": stated.item, "cost": stated.cost, **whose})
            continue
        for number, share in zip(chosen, _shares([rows[n] for n in chosen], stated.weight), strict=True):
            shares[number] = shares.get(number, 0.0) + stated.cost * share
    data["cost"] = [shares.get(number, row["cost"]) for number, row in enumerate(rows)]
    return pd.concat([data, frame_of(apart)], ignore_index=True) if apart else data


def _shares(rows: Sequence[Mapping[str, Any]], column: str) -> list[float]:
    """Of each row, which add up to 1."""
    for name in (column, "", "requests"):
        weights = [_weight(row, name) * _TIER_FACTORS.get(row["tier"], 1.0) for row in rows]
        if (total := sum(weights)) > 0:
            return [weight / total for weight in weights]
    return [1.0 / len(rows)] * len(rows)


def _weight(row: Mapping[str, Any], column: str) -> float:
    """A column of a row, all tokens where none is named; never less than 0."""
    known = {name: 0.0 if math.isnan(row[name]) else float(row[name]) for name in NUMBERS}
    if column == "fresh_tokens":
        fresh = known["input_tokens"] - known["cache_read_tokens"] - known["cache_write_tokens"]
        return max(0.0, fresh)
    return max(0.0, known[column] if column else known["input_tokens"] + known["output_tokens"])


def plain_name(model: str) -> str:
    """A model's name without maker and date: `openai/gpt-4o-2024-08-06` → `gpt-4o`."""
    bare = model.lower().rpartition("/")[2]
    return re.sub(r"[-@]?(20\d{2}-?\d{2}-?\d{2}|latest|\d{4})$", "", bare).rstrip("-@")


def day_of(seconds_or_text: float | str) -> str:
    """YYYY-MM-DD (UTC) of Unix seconds or of an ISO time. Raises UnreadableExport."""
    try:
        if isinstance(seconds_or_text, str):
            moment = datetime.fromisoformat(seconds_or_text)
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        else:
            moment = datetime.fromtimestamp(seconds_or_text, UTC)
    except (ValueError, OverflowError, OSError, TypeError) as error:
        raise UnreadableExport(f"{seconds_or_text!r} is no day") from error
    return f"{moment:%Y-%m-%d}"
