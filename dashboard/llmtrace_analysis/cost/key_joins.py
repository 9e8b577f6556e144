"""Which key of a provider's bill is which account of the traced calls.

A bill names a key by an id, a span by a mark that is made of the key itself (`llmtrace.account`): neither can
be computed from the other. They are joined by what settings say, by a hash of the key where the bill has one,
and by figures, where a key and an account agree to the token on every day and model and no other pair does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from .invoices.billed import plain_name

#: A hash of a key by SHA-256, whose beginning is in the mark of an account.
_HASH = re.compile(r"(?:sk-or-v1-)?([0-9a-f]{64})")
_MARK_LENGTH = 12

Cells = dict[tuple[str, str], tuple[int, int]]
"""(day, model) → input and output tokens."""


@dataclass
class KeyJoins:
    """Keys and accounts that are the same, as groups with a name; what is in none is compared together."""

    of_key: dict[str, str] = field(default_factory=dict)
    of_account: dict[str, str] = field(default_factory=dict)
    by: dict[str, str] = field(default_factory=dict)
    """Group → what joined it: `settings`, `hash` or `figures`."""

    def add(self, keys: Iterable[str], accounts: Iterable[str], by: str) -> None:
        """Say that these are the same, and the same as what one of them was joined with before."""
        keys, accounts = list(keys), list(accounts)
        former = {self.of_key[key] for key in keys if key in self.of_key}
        former |= {self.of_account[account] for account in accounts if account in self.of_account}
        group = min(former | {f"{by}:{'+'.join(sorted(accounts))}"})
        for names, members in ((self.of_key, keys), (self.of_account, accounts)):
            for name, its_group in list(names.items()):
                if its_group in former:
                    names[name] = group
            names.update(dict.fromkeys(members, group))
        self.by[group] = by


def join_keys(
    billed: pd.DataFrame, traced: pd.DataFrame, settings: Mapping[str, Iterable[str]] | None = None
) -> KeyJoins:
    """The joins of the keys of `billed` (`key`, `key_name`) with the accounts of `traced` (`account`).

    settings: key id or name → its accounts.
    """
    joins = KeyJoins()
    named = zip(billed["key"].astype(str), billed["key_name"].astype(str), strict=True)
    names = {key: name for key, name in named if key}
    accounts = {str(account) for account in traced["account"] if account}
    stated = settings or {}
    for key, name in names.items():
        if key in stated or name in stated:
            joins.add([key], stated.get(key, stated.get(name, ())), "settings")
        elif (match := _HASH.fullmatch(key)) and (mark := f"key-{match[1][:_MARK_LENGTH]}") in accounts:
            joins.add([key], [mark], "hash")
    keys = _cells(billed, "key", {key for key in names if key not in joins.of_key})
    marks = _cells(traced, "account", {mark for mark in accounts if mark not in joins.of_account})
    same = [(key, mark) for key, of_key in keys.items() for mark, cells in marks.items() if cells == of_key]
    for key, mark in same:
        if sum(key == other or mark == another for other, another in same) == 1:
            joins.add([key], [mark], "figures")
    return joins


def records(data: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows by the names of columns."""
    return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]


def _cells(data: pd.DataFrame, column: str, names: set[str]) -> dict[str, Cells]:
    """Those that have tokens at all: that two have none says nothing."""
    cells_of: dict[str, Cells] = defaultdict(dict)
    for row in records(data[data[column].isin(names)]):
        tokens = (round(row["input_tokens"]), round(row["output_tokens"]))
        if any(tokens):
            cells, cell = cells_of[str(row[column])], (str(row["day"]), plain_name(str(row["model"])))
            before = cells.get(cell, (0, 0))
            cells[cell] = (before[0] + tokens[0], before[1] + tokens[1])
    return dict(cells_of)
