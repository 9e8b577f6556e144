"""Numbers as people write them: `10k` tokens, `$0.01`, `250ms`; and how a search writes them back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

#: What a number may count.
PLAIN, COUNT, MONEY, SECONDS = "number", "count", "money", "duration"

_SCALES = MappingProxyType({"": Decimal(1), "k": Decimal(10**3), "m": Decimal(10**6), "g": Decimal(10**9)})
_DURATIONS = MappingProxyType(
    {
        "": Decimal(1),
        "us": Decimal("0.000001"),
        "µs": Decimal("0.000001"),
        "ms": Decimal("0.001"),
        "s": Decimal(1),
        "sec": Decimal(1),
        "m": Decimal(60),
        "min": Decimal(60),
        "h": Decimal(3600),
    }
)
_MONEY = MappingProxyType({"": Decimal(1), "$": Decimal(1), "usd": Decimal(1), "k": Decimal(1000)})
_UNITS: Mapping[str, Mapping[str, Decimal]] = MappingProxyType(
    {PLAIN: _SCALES, COUNT: _SCALES, MONEY: _MONEY, SECONDS: _DURATIONS}
)

#: How a number of each kind is written, for messages.
EXAMPLES: Mapping[str, str] = MappingProxyType(
    {PLAIN: "0.5", COUNT: "10k", MONEY: "0.01", SECONDS: "2s or 250ms"}
)

_NUMBER = re.compile(r"([+-]?)(\$?)(\d[\d_]*(?:\.\d+)?|\.\d+)(e[+-]?\d{1,3})?\s*([a-zµ$]*)", re.IGNORECASE)
_LIMIT = Decimal("1e18")


def read_number(text: str, kind: str) -> float | None:
    """The number in `text`: seconds for a duration, USD for money; None where it is none of that kind."""
    # Keyboards write the Greek letter where the sign of micro is meant.
    match = _NUMBER.fullmatch(text.strip().replace("μ", "µ"))
    if match is None:
        return None
    sign, dollar, digits, exponent, unit = match.groups(default="")
    scale = _UNITS[kind].get(unit.lower())
    if scale is None or (dollar and (kind != MONEY or unit)):
        return None
    number = Decimal(digits.replace("_", "") + exponent) * scale
    # Beyond this no count, price or duration lies; the engine's integers end there as well.
    if number > _LIMIT:
        return None
    return float(-number if sign == "-" else number)


def write_number(number: float, kind: str) -> str:
    """`number` so that `read_number` gives the same back."""
    text = format(Decimal(repr(number)).normalize(), "f")
    return f"{text}s" if kind == SECONDS else text
