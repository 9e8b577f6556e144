"""Numbers and times as people read them: always with a unit, never more digits than help."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

#: What stands where nothing is known.
NONE = "–"


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def seconds(value: float | None) -> str:
    """A duration in seconds: `340 µs`, `84 ms`, `1.24 s`, `2 min 5 s`, `3 h 20 min`."""
    if value is None or _missing(value):
        return NONE
    if value < 0.001:
        return f"{value * 1e6:.0f} µs" if value else "0 ms"
    if value < 0.0995:
        return f"{value * 1e3:.3g} ms"
    if value < 0.9995:
        return f"{value * 1e3:.0f} ms"
    if value < 59.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    whole = round(value)
    for size, unit, part, part_unit in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"


def count(value: float | None) -> str:
    """A count: `812`, `12.4k`, `3.1M`; exact up to 9,999."""
    if value is None or _missing(value):
        return NONE
    if abs(value) < 10_000:
        return f"{value:,.0f}"
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        # 999,950 is 1M, not 1000k.
        if abs(value) >= size * 0.99995:
            scaled = value / size
            return (f"{scaled:.1f}" if abs(scaled) < 99.95 else f"{scaled:.0f}").removesuffix(".0") + suffix
    return f"{value:,.0f}"


def about(text: str, is_estimated: object) -> str:
    """A number as it is, or marked as an estimate: `≈ 1,234`."""
    return f"≈ {text}" if is_estimated and text != NONE else text


def usd(value: float | None) -> str:
    """US dollars with the digits that matter: `$1,204`, `$12.30`, `$0.0042`; NONE where unpriced."""
    if value is None or _missing(value):
        return NONE
    if value == 0:
        return "$0"
    size = abs(value)
    if size >= 1000:
        return f"${value:,.0f}"
    if size >= 0.995:
        return f"${value:,.2f}"
    if size < 1e-6:
        return "<$0.000001"
    digits = max(2, 1 - math.floor(math.log10(size)))
    return f"${value:.{digits}f}"


def money(value: float | None, currency: str) -> str:
    """As `usd`, in another currency: `EUR 12.30`."""
    text = usd(value)
    return text if currency == "USD" else text.replace("$", f"{currency} ")


def price(value: float | None) -> str:
    """USD per million tokens: `$0.15`, `$2.50`, `$0.075`."""
    if value is None or _missing(value):
        return NONE
    text = f"{value:.4f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"${int(whole):,}.{fraction.ljust(2, '0')}"


def percent(value: float | None) -> str:
    """A share of 1 as percent: `0%`, `0.42%`, `12.5%`, `100%`."""
    if value is None or _missing(value):
        return NONE
    scaled = value * 100
    if scaled == 0:
        return "0%"
    if scaled < 0.01:
        return "<0.01%"
    return (f"{scaled:.2f}" if scaled < 1 else f"{scaled:.1f}").removesuffix(".0") + "%"


def with_unit(value: float | None, unit: str) -> str:
    """A detection's value in its unit: `s`, `ratio`, `USD`, or any word, which is written behind."""
    if value is None or _missing(value):
        return NONE
    if unit in ("s", "seconds"):
        return seconds(value)
    if unit == "ms":
        return seconds(value / 1000)
    if unit in ("ratio", "1"):
        return percent(value)
    if unit.upper() in ("USD", "$"):
        return usd(value)
    number = count(value) if value >= 100 or value == int(value) else f"{value:.3g}"
    return f"{number} {unit}".strip()


def change(now: float | None, before: float | None) -> str | None:
    """The relative change as `+12%`; None where either is unknown, nothing was there, or nothing changed."""
    if now is None or before is None or _missing(now) or _missing(before) or before == 0:
        return None
    ratio = now / before - 1
    if abs(ratio) < 0.005:
        return None
    return f"{ratio:+.0%}" if abs(ratio) < 9.995 else f"{now / before:.0f}×"


def clock(at: datetime, zone: ZoneInfo, now: datetime | None = None) -> str:
    """A moment in the reader's zone: `14:03:22`, with the day (`18 Nov 14:03:22`) unless it is `now`'s."""
    local = at.astimezone(zone)
    if now is not None and local.date() == now.astimezone(zone).date():
        return f"{local:%H:%M:%S}"
    return f"{local.day} {local:%b %H:%M:%S}"


def ago(at: datetime, now: datetime) -> str:
    """How long ago in one unit: `12 s ago`, `5 min ago`, `3 h ago`, `2 d ago`."""
    passed = max(0, int((now - at).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed // size} {unit} ago"
    return f"{passed} s ago"


def plural(number: int, word: str, words: str | None = None) -> str:
    """`1 call`, `2 calls`, `12.4k calls`."""
    return f"{count(number)} {word if number == 1 else words or word + 's'}"
