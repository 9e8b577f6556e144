"""The likely cause of each difference between a bill and the ledger, and whether it is spend that no span
explains."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

#: Differences up to this share are the rounding of exports.
TOLERANCE = 0.005
#: What traced calls without tokens may have used, in tokens of the mean call: those that break are longer.
_UNTOLD_FACTOR = 3.0

#: What the group of a key begins with that is joined with no account, and is compared by itself.
UNJOINED = "key:"

Row = dict[str, Any]

_SHIFTED = "days are cut at different hours: over all days the tokens agree"


def explain(rows: Sequence[Row]) -> None:
    """Give each row its `cause` (empty: it agrees), `matches` and `unseen`."""
    shifted = _shifted(rows)
    renamed = _renamed(rows)
    untraced_keys = _untraced_keys(rows)
    for number, row in enumerate(rows):
        cause, is_unseen = _cause(
            row,
            is_shifted=_pool(row) in shifted,
            other_name=renamed.get(number, ""),
            untraced_keys=untraced_keys,
        )
        row["cause"], row["matches"], row["unseen"] = cause, not cause, is_unseen


def differs(first: float, second: float) -> bool:
    """Whether two amounts differ by more than rounding; what nobody told differs from nothing."""
    if math.isnan(first) or math.isnan(second):
        return False
    return abs(first - second) > TOLERANCE * max(abs(first), abs(second))


def tokens(row: Mapping[str, Any], side: str = "invoice") -> float:
    """All tokens of a side, 0 where it reports none."""
    amounts = [row[f"{name}_{side}"] for name in ("input_tokens", "output_tokens")]
    return float(sum(amount for amount in amounts if not math.isnan(amount)))


def _shifted(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Groups and models for which the days around make up for a day's difference: then the days are cut at
    different hours."""
    of: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        of[_pool(row)].append(row)
    balanced = set()
    for where, its_rows in of.items():
        differences = [tokens(row) - tokens(row, "ledger") for row in its_rows]
        total = sum(map(tokens, its_rows))
        more, less = (sum(max(0.0, sign * gap) for gap in differences) for sign in (1, -1))
        # A little that is missing of much is no shift: what one day has more, another has less.
        if abs(more - less) <= TOLERANCE * max(total, 1.0) and min(more, less) >= 0.5 * max(more, less) > 0:
            balanced.add(where)
    return balanced


def _pool(row: Row) -> tuple[str, str]:
    """What is compared over days: the model of a group, that of all keys which are not joined as one."""
    return ("" if row["group"].startswith(UNJOINED) else row["group"]), row["model"]


def _renamed(rows: Sequence[Row]) -> dict[int, str]:
    """Rows of one side alone, by number, of which the other side has the same tokens under another name on
    that day, and only one: the name."""
    names: dict[int, str] = {}
    billed = [(number, row) for number, row in enumerate(rows) if row["is_billed"] and not row["is_traced"]]
    traced = [(number, row) for number, row in enumerate(rows) if row["is_traced"] and not row["is_billed"]]
    for number, row in billed:
        alike = [
            (other, candidate)
            for other, candidate in traced
            if candidate["day"] == row["day"] and _same_owner(row, candidate) and _same_tokens(row, candidate)
        ]
        if len(alike) == 1 and alike[0][0] not in names:
            other, candidate = alike[0]
            names[number], names[other] = candidate["model"], row["model"]
    return names


def _same_owner(billed: Row, traced: Row) -> bool:
    is_unjoined = billed["group"].startswith(UNJOINED) and not traced["group"]
    return billed["group"] == traced["group"] or is_unjoined


def _same_tokens(billed: Row, traced: Row) -> bool:
    return tokens(billed) > 0 and not any(
        differs(billed[f"{name}_invoice"], traced[f"{name}_ledger"])
        for name in ("input_tokens", "output_tokens")
    )


def _untraced_keys(rows: Sequence[Row]) -> set[str]:
    """Keys of which nothing was traced on any day."""
    billed = {row["key"] for row in rows if row["is_billed"] and row["key"]}
    traced = {key for row in rows if row["is_billed"] and row["is_traced"] for key in row["key"].split(", ")}
    joined = {row["key"] for row in rows if row["joined_by"] and row["group_is_traced"]}
    return billed - traced - joined


def _cause(row: Row, *, is_shifted: bool, other_name: str, untraced_keys: set[str]) -> tuple[str, bool]:
    """The likely cause of a row's difference, empty when there is none; whether it is unseen spend."""
    if not row["is_billed"]:
        if other_name:
            return f"the same tokens are billed as {other_name}: another name for the model", False
        if is_shifted:
            return _SHIFTED, False
        return "not on the invoice: another account or key, or another name for the model", False
    if not row["is_traced"]:
        return (_SHIFTED, False) if is_shifted else _untraced(row, other_name, untraced_keys)
    different = [
        name
        for name in ("input_tokens", "output_tokens")
        if differs(row[f"{name}_invoice"], row[f"{name}_ledger"])
    ]
    if not different:
        return _of_equal_tokens(row)
    if is_shifted:
        return _SHIFTED, False
    missing = tokens(row) - tokens(row, "ledger")
    if missing > 0:
        untold = row["calls_without_tokens"]
        whose = ", of one of these keys" if ", " in row["key"] else ""
        if untold and missing <= _UNTOLD_FACTOR * untold * _mean(row, untold):
            return f"{untold:.0f} traced calls told no tokens (failed or left streams)", False
        if untold:
            return f"calls that were not traced{whose}; {untold:.0f} traced calls told no tokens", True
        return f"calls that were not traced{whose}, or retries inside the client", True
    return "more traced than billed: simulated calls, free credits, or answers from a proxy's cache", False


def _mean(row: Row, untold: float) -> float:
    """Tokens of a mean call that told them, else of a mean billed one, all that is missing where neither is
    known."""
    counted = row["requests_ledger"] - untold
    if counted > 0 and tokens(row, "ledger"):
        return tokens(row, "ledger") / float(counted)
    if row["requests_invoice"] > 0:
        return tokens(row) / float(row["requests_invoice"])
    return tokens(row)


def _untraced(row: Row, other_name: str, untraced_keys: set[str]) -> tuple[str, bool]:
    if other_name:
        return f"the same tokens are traced as {other_name}: another name for the model", False
    if not tokens(row) and not row["requests_invoice"] > 0:
        return "billed by something else than tokens or requests: no span tells it", False
    if row["key"] in untraced_keys:
        return "no call of this key was traced", True
    return (
        "no call of this model was traced: an application that is not traced, or another name for the model",
        True,
    )


def _of_equal_tokens(row: Row) -> tuple[str, bool]:
    if not tokens(row) and row["requests_invoice"] > row["requests_ledger"]:
        # What is billed by pictures, seconds or characters is compared by requests.
        return "requests that were not traced, or retries inside the client", True
    if differs(row["cache_read_tokens_invoice"], row["cache_read_tokens_ledger"]):
        return "cached tokens differ: some spans do not tell them", False
    if row["unpriced_calls"]:
        return f"{row['unpriced_calls']:.0f} calls have no price in the book", False
    if differs(row["cost_invoice"], row["cost_ledger"]):
        return "same tokens, other price: a discount, a batch or priority tier, or an outdated price", False
    return "", False
