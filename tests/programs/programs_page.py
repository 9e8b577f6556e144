"""The table of exits in the documentation, made by a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .shape import COLLECTORS, Collector, Figures, ProgramShape

BEGIN: Final = "<!-- Made by `python -m tests.programs --page docs/sdk.md`. -->"
END: Final = "<!-- End of what is made. -->"


def write_table(page: Path, rows: Sequence[tuple[ProgramShape, Collector, Figures]]) -> None:
    """Replace the table in the page. Raises ValueError where the page has no place for it."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the table, which is between {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n{END}{after}", encoding="utf-8")


def table(rows: Sequence[tuple[ProgramShape, Collector, Figures]]) -> str:
    """A line for each shape of the documentation, a column for each state of the collector."""
    lines = [
        "| how it ends | " + " | ".join(f"collector {name}" for name in COLLECTORS) + " |",
        "|---|" + "---|" * len(COLLECTORS),
    ]
    cells: dict[str, dict[str, str]] = {}
    for shape, collector, figures in rows:
        if shape.in_docs:
            cells.setdefault(shape.name, {})[collector] = _cell(figures)
    lines += [
        f"| {name} | " + " | ".join(of_shape.get(collector, "not run") for collector in COLLECTORS) + " |"
        for name, of_shape in cells.items()
    ]
    return "\n".join(lines) + "\n"


def _cell(figures: Figures) -> str:
    parts = [f"{figures.sent} sent"] if figures.sent else []
    if figures.spooled:
        parts.append(f"{figures.spooled} spooled")
    if counted := min(figures.lost, figures.counted):
        parts.append(f"{counted} counted")
    if figures.uncounted:
        parts.append(f"{figures.uncounted} lost")
    return ", ".join(parts) or "no calls"
