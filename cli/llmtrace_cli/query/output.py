"""The form of an answer: a table for people, or CSV, JSON and Parquet for programs."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtrace.common.escaping import csv_document, visible, visible_lines

from .store_reader import Command

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "csv", "json", "parquet")


def output_options(command: Command) -> Command:
    """How to answer, and where."""
    options = [
        click.option(
            "--format",
            "fmt",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="Form of the answer.",
        ),
        click.option(
            "--output",
            "-o",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File to write instead of standard output.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def write(data: pd.DataFrame, fmt: str, output: Path | None, empty: str = "no calls") -> None:
    """Write the frame as asked. What is not known is empty (CSV), null (JSON) or – (table); a table without
    rows says `empty`.
    """
    if fmt == "parquet":
        if output is None and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for reading on a terminal: name a file with --output")
        buffer = io.BytesIO()
        data.to_parquet(buffer, index=False)
        body = buffer.getvalue()
        if output is None:
            click.echo(body, nl=False)
        else:
            output.write_bytes(body)
        return
    text = f"{empty}\n" if fmt == "table" and data.empty else _TEXTS[fmt](data)
    if output is None:
        if sys.stdout.isatty():  # JSON's escapes are ASCII; cells of CSV are as they were sent
            text = visible_lines(text)
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def write_json(answer: dict[str, Any], output: Path | None) -> None:
    """Write an answer that is no table as JSON, whose escapes are ASCII."""
    text = json.dumps(answer, indent=2)
    if output is None:
        click.echo(text)
    else:
        output.write_text(f"{text}\n", encoding="utf-8")


def write_rows(names: Sequence[str], rows: Iterable[Sequence[object]], output: Path | None) -> None:
    """Write CSV row by row, as the rows come: each has left before the next is asked for. The file is there
    only once all of it is.
    """
    if output is None:
        for row in chain([names], rows):
            text = csv_document(row, ())
            click.echo(visible_lines(text) if sys.stdout.isatty() else text, nl=False)
        return
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.writelines(csv_document(row, ()) for row in chain([names], rows))
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def records(data: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain values; what is not known is None."""
    return [
        {str(name): _plain(value) for name, value in row.items()} for row in data.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(data: pd.DataFrame) -> str:
    return csv_document(list(data.columns), (row.values() for row in records(data)))


def _json(data: pd.DataFrame) -> str:
    return json.dumps(records(data), indent=2) + "\n"


def _table(data: pd.DataFrame) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    rows = [[_cell(name, value) for name, value in row.items()] for row in records(data)]
    names = [visible(str(name)) for name in data.columns]
    numbers = [data[name].dtype.kind in "iuf" for name in data.columns]
    widths = [max(len(name), *(len(row[n]) for row in rows)) for n, name in enumerate(names)]

    def line(cells: list[str]) -> str:
        placed = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, numbers, strict=True)
        ]
        return "  ".join(placed).rstrip() + "\n"

    return line(names) + line(["-" * width for width in widths]) + "".join(line(row) for row in rows)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6f}" if abs(value) < 1 else f"{value:,.2f}"
    return visible(str(value))


_TEXTS: dict[str, Callable[[pd.DataFrame], str]] = {"table": _table, "csv": _csv, "json": _json}
