"""The table as a page of documentation: made by a run, failures included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .emitter_run import MODES
from .measured_rows import Cell, TableRow
from .summary import summary
from .table import KINDS

#: Versions and environments follow this; a test reads them there.
ROWS_HEADING = "## Rows"

_INTRODUCTION = """# Conformance

What the collector makes of the spans of real emitters, as they are released. Each emitter makes calls of
fourteen kinds against a provider on loopback that answers in the words of each API; its own OTLP goes to a
collector. What counts there is held against the canonical record: what llmtrace's SDK makes of the same
bytes, sent without any emitter.

This page is made by `scripts/conformance`; what fails is on it.

A cell is **ok** where each call is one counted record with the same provider, models, tokens of every kind,
cost, finish reasons, messages, answer, tools, response id and, of a stream, time to first token. Else it has
two numbers: how many fields differ with the emitter alone, and how many with llmtrace in the same process
(`–` where it does not run there). `cannot`: the emitter makes no such call.
"""


def page(rows: Sequence[TableRow]) -> str:
    """The page in Markdown."""
    figures = summary(rows)
    parts = [
        _INTRODUCTION,
        f"Of {figures['cells']} cells of {figures['rows']} rows {figures['ok']} are ok and "
        f"{figures['failed']} fail: {figures['failed_alone']} with the emitter alone, "
        f"{figures['failed_with_sdk']} with llmtrace in the same process. {figures['unexplained']} fail by "
        "what is not known as the emitter's own.\n",
        "## Kinds of call\n",
        "\n".join(f"- `{kind.name}`: {kind.description}" for kind in KINDS) + "\n",
        "## Table\n",
        _table(rows),
        f"{ROWS_HEADING}\n",
        _rows(rows),
        "## What differs\n",
        _differences(rows),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _table(rows: Sequence[TableRow]) -> str:
    lines = [
        "| row | " + " | ".join(f"`{kind.name}`" for kind in KINDS) + " |",
        "|---|" + "---|" * len(KINDS),
    ]
    for number, row in enumerate(rows, 1):
        cells = " | ".join(_cell(row.cells[kind.name]) if not row.not_run else "not run" for kind in KINDS)
        lines.append(f"| {number} {row.emitter.name} | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(cell: Cell) -> str:
    if cell.outcome != "failed":
        return cell.outcome
    return " / ".join(str(len(cell.differences[mode])) if mode in cell.differences else "–" for mode in MODES)


def _rows(rows: Sequence[TableRow]) -> str:
    lines = ["| row | environment | versions | without llmtrace because |", "|---|---|---|---|"]
    for number, row in enumerate(rows, 1):
        versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
        lines.append(
            f"| {number} {row.emitter.name} | {row.environment or '–'} "
            f"| {versions or row.not_run or '–'} | {row.no_sdk} |"
        )
    return "\n".join(lines) + "\n"


def _differences(rows: Sequence[TableRow]) -> str:
    """By row: the fields that differ with the kinds in which they do, and why where that is the emitter's."""
    lines = []
    for number, row in enumerate(rows, 1):
        of_row = [
            *(
                f"  - {_kinds(kinds)}: {field}{f' – {reason}' if reason else ''}"
                for (field, reason), kinds in _by_field(row, with_sdk=False).items()
            ),
            *(
                f"  - with llmtrace, {_kinds(kinds)}: {field}"
                for (field, _), kinds in _by_field(row, with_sdk=True).items()
            ),
            *(f"  - {_kinds(kinds)} cannot: {reason}" for reason, kinds in _by_reason(row).items()),
        ]
        if of_row:
            lines += [f"- {number} {row.emitter.name}", *of_row]
    return "\n".join(lines) + "\n"


def _by_field(row: TableRow, *, with_sdk: bool) -> dict[tuple[str, str], list[str]]:
    fields: dict[tuple[str, str], list[str]] = {}
    for cell in row.cells.values():
        for difference in cell.differences.get("with_sdk" if with_sdk else "alone", ()):
            reason = row.emitter.reason(row.environment, cell.kind, difference.field)
            fields.setdefault((difference.field, reason), []).append(cell.kind)
    return fields


def _by_reason(row: TableRow) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for cell in row.cells.values():
        if cell.cannot:
            reasons.setdefault(cell.cannot, []).append(cell.kind)
    return reasons


def _kinds(kinds: Sequence[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in Counter(kinds))
