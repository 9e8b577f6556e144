"""The table in lines for a terminal, and its figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from .measured_rows import Cell, TableRow
from .table import KIND_NAMES

_WORDS = {"alone": "alone", "with_sdk": "with llmtrace"}


def unexplained(row: TableRow, cell: Cell) -> list[str]:
    """The fields that differ, with the mode, of which nobody says that it is the emitter's own doing. Beside
    our SDK that is said of what the SDK does not tell: queries of databases, calls that came to nothing; and
    of what changes the answers.
    """
    return [
        f"{difference.field} {_WORDS[mode]}"
        for mode, differences in cell.differences.items()
        for difference in differences
        if not row.emitter.reason(row.environment, cell.kind, difference.field)
        or (
            mode == "with_sdk"
            and cell.kind != "vector_query"
            and difference.field != "call"
            and not row.emitter.answers
        )
    ]


def lines(rows: Sequence[TableRow], *, details: bool = False) -> list[str]:
    """A line for each row, and one for each cell that fails."""
    text = []
    for row in rows:
        if row.not_run:
            text.append(f"{row.name} [{row.environment}]: not run: {row.not_run}")
            continue
        counts = Counter(cell.outcome for cell in row.cells.values())
        figures = f"{counts['ok']} ok, {counts['failed']} failed, {counts['cannot']} cannot"
        text.append(f"{row.name} [{row.environment}]: {figures}")
        for cell in row.cells.values():
            for mode, differences in cell.differences.items():
                if not differences:
                    continue
                if details:
                    text += [
                        f"    {cell.kind}, {_WORDS[mode]}: {difference.line()}" for difference in differences
                    ]
                else:
                    fields = ", ".join(difference.field for difference in differences)
                    text.append(f"    {cell.kind}, {_WORDS[mode]}: {fields}")
    return text


def summary(rows: Sequence[TableRow]) -> dict[str, Any]:
    """The figures of the table; `unexplained` counts cells."""
    cells = [(row, cell) for row in rows if not row.not_run for cell in row.cells.values()]
    counts = Counter(cell.outcome for _, cell in cells)
    return {
        "rows": sum(not row.not_run for row in rows),
        "rows_not_run": sum(bool(row.not_run) for row in rows),
        "cells": counts["ok"] + counts["failed"],
        "ok": counts["ok"],
        "failed": counts["failed"],
        "cannot": counts["cannot"],
        "failed_alone": sum(bool(cell.differences.get("alone")) for _, cell in cells),
        "failed_with_sdk": sum(bool(cell.differences.get("with_sdk")) for _, cell in cells),
        "unexplained": sum(bool(unexplained(row, cell)) for row, cell in cells),
        "stale_reasons": len(stale_reasons(rows)),
    }


def stale_reasons(rows: Sequence[TableRow]) -> list[str]:
    """What the table says that an emitter does wrong and in none of its rows it does any more. Of an emitter
    whose rows and kinds were not all run nothing is said.
    """
    of_emitter: dict[str, list[TableRow]] = defaultdict(list)
    for row in rows:
        of_emitter[row.emitter.name].append(row)
    stale = []
    for name, its_rows in of_emitter.items():
        emitter = its_rows[0].emitter
        is_whole = len(its_rows) == max(len(emitter.environments), 1) and not any(
            row.not_run or len(row.cells) < len(KIND_NAMES) for row in its_rows
        )
        occurring = {
            (kind, difference.field)
            for row in its_rows
            for kind, cell in row.cells.items()
            for difference in cell.differences.get("alone", ())
        }
        for kind, field in {**emitter.defects, **emitter.older_defects} if is_whole else ():
            if not any(field == other and kind in ("*", where) for where, other in occurring):
                stale.append(f"{name}: {kind}, {field}")
    return stale
