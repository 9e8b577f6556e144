"""Cells, columns and badges for the table part; text stays text."""

from __future__ import annotations

from typing import Any

from . import formats
from .components import show

Cell = dict[str, Any]
Column = dict[str, Any]

STATES = {"open": ("Open", "bad"), "acknowledged": ("Acknowledged", "warn"), "resolved": ("Resolved", "good")}
TRACE_STATUSES = {"failed": ("Failed", "bad"), "recovered": ("Recovered", "warn"), "ok": ("OK", "good")}
SEVERITIES = {"critical": ("Critical", "bad"), "warning": ("Warning", "warn")}

#: From this share of failed calls on, the number is drawn as a warning or as bad.
_WARN, _BAD = 0.01, 0.05


def column(label: str, align: str = "left", fit: str = "", help: str = "") -> Column:
    """A column; `fit` is '', 'grow' (takes what is left) or 'clip' (at most 220 px)."""
    return {"label": label, "align": align, "fit": fit, "help": help}


def cell(text: str, **options: Any) -> Cell:
    """A cell; options: href, badge, tone, mono, sub, title, bar (0 to 1)."""
    return {"text": text, **{name: value for name, value in options.items() if value not in (None, "")}}


def row(cells: list[Cell], href: str = "") -> dict[str, Any]:
    """A row; with `href` all of it is a link."""
    return {"cells": cells, "href": href}


def table(
    label: str, columns: list[Column], rows: list[dict[str, Any]], key: str, empty: str = "Nothing here."
) -> None:
    """Draw a table; `label` is its name for screen readers, `empty` its text without rows."""
    show("table", {"label": label, "columns": columns, "rows": rows, "empty": empty}, key)


def error_cell(errors: int, calls: int) -> Cell:
    """Share of failed calls, coloured by how bad it is."""
    share = errors / calls if calls else None
    tone = "" if share is None or share < _WARN else "bad" if share >= _BAD else "warn"
    return cell(formats.percent(share), tone=tone, title=f"{errors:,} of {calls:,} calls failed")


def status_cell(status: str, failed_steps: int, retries: int) -> Cell:
    """How a trace ended; that nothing failed needs no colour."""
    text, tone = TRACE_STATUSES.get(status, (status, ""))
    counts = ((failed_steps, "failed step"), (retries, "repeated attempt"))
    title = ", ".join(formats.plural(count, what) for count, what in counts if count)
    if tone == "good":
        return cell(text, tone="muted", title=title)
    return cell(text, badge=tone, title=title)


def cost_cell(
    cost: float | None,
    unpriced: int,
    calls: int,
    bar: float | None = None,
    currency: str = "USD",
    estimated: int = 0,
) -> Cell:
    """Cost in `currency`; where calls have no price it says so instead of counting them as nothing, and where
    the tokens of `estimated` calls are not told, that it is an estimate."""
    if unpriced and unpriced >= calls:
        return cell("unpriced", tone="warn", title="No price is known: see the Cost page")
    text = formats.about(formats.money(cost, currency), estimated)
    if unpriced:
        return cell(
            text,
            sub=f"+ {formats.count(unpriced)} unpriced",
            title=f"{unpriced:,} of {calls:,} calls have no price and are not in this sum",
            bar=bar,
        )
    title = f"Tokens of {formats.plural(estimated, 'call')} are estimated from text" if estimated else ""
    return cell(text, bar=bar, title=title)


def badge(kind: dict[str, tuple[str, str]], value: str) -> dict[str, str]:
    """The text and tone of a state or severity; unknown ones are shown as they are."""
    text, tone = kind.get(value, (value, ""))
    return {"text": text, "tone": tone}
