"""Timestamps and values from CSV, row by row, in the forms that people's files have."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

#: Names of columns, in lower case.
_TIME_NAMES = ("timestamp", "time", "datetime", "date", "ts", "ds", "minute", "hour", "day", "_time", "at")
_VALUE_NAMES = ("value", "values", "y", "val", "count", "metric", "_value")

#: What stands for no value, in lower case.
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "?"})

#: Unix times above these are milliseconds, microseconds, nanoseconds: as seconds they lie past the year 5000.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))

_FORMS = (
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
)


class SeriesRow(NamedTuple):
    """A row of the file."""

    text: str
    """The timestamp as it stands there."""
    time: float
    """Unix seconds."""
    value: float
    """NaN where there is none."""


class InvalidSeries(ValueError):
    """A file that cannot be read as a series, with the line and what to do."""


def read_series(
    lines: Iterable[str], time_column: str | None = None, value_column: str | None = None
) -> Iterator[SeriesRow]:
    """The rows of a file, one after the other as its lines come.

    The first line may name the columns; without names (or with none that are known) they are the first two.
    `time_column`, `value_column`: a name of the first line, or a number from 1 on. Raises InvalidSeries.
    """
    lines = iter(lines)
    first = next((line for line in lines if line.strip("\ufeff \t\r\n")), None)
    if first is None:
        raise InvalidSeries("line 1: the file is empty; it needs a timestamp and a value in each line")
    first = first.removeprefix("\ufeff")
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(chain([first], lines), delimiter=delimiter, skipinitialspace=True, strict=True)
    columns: tuple[int, int] | None = None
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise InvalidSeries(f"line {rows.line_num}: this is no CSV: {error}") from error
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns, is_header = _columns(row, time_column, value_column)
            if is_header:
                continue
        yield _row(row, columns, rows.line_num, delimiter)


def _columns(
    row: list[str], time_column: str | None, value_column: str | None
) -> tuple[tuple[int, int], bool]:
    """Places of the timestamp and the value, and whether the row is a header."""
    names = [cell.strip().lower() for cell in row]
    where = [
        _column(names, time_column, _TIME_NAMES, "--timestamp-column"),
        _column(names, value_column, _VALUE_NAMES, "--value-column"),
    ]
    if len(names) < 2:
        raise InvalidSeries("line 1: there is one column; a timestamp and a value are needed")
    time = where[0] if where[0] is not None else next(n for n in (0, 1) if n != where[1])
    value = where[1] if where[1] is not None else next(n for n in range(2) if n != time)
    try:
        _time(row[time].strip())
    except ValueError:
        return (time, value), True
    return (time, value), False


def _column(names: list[str], wanted: str | None, known: tuple[str, ...], option: str) -> int | None:
    if wanted is None:
        return next((names.index(name) for name in known if name in names), None)
    if wanted.strip().lower() in names:
        return names.index(wanted.strip().lower())
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise InvalidSeries(f"line 1: there is no column {wanted!r}; {option} takes one of: {', '.join(names)}")


def _row(row: list[str], columns: tuple[int, int], line: int, delimiter: str) -> SeriesRow:
    time_column, value_column = columns
    if max(columns) >= len(row):
        raise InvalidSeries(
            f"line {line}: {len(row)} column{'s' * (len(row) != 1)}, but column {max(columns) + 1} is needed"
        )
    text = row[time_column]
    try:
        time = _time(text.strip())
    except ValueError as error:
        raise InvalidSeries(
            f"line {line}: {text!r} is no time: write 2026-11-30T12:00:00Z or Unix seconds"
        ) from error
    number = row[value_column].strip()
    if number.lower() in _MISSING:
        return SeriesRow(text, time, math.nan)
    if delimiter == ";" and "." not in number:
        number = number.replace(",", ".")
    try:
        value = float(number)
    except ValueError as error:
        raise InvalidSeries(
            f"line {line}: {row[value_column]!r} is no number; leave it empty where none is known"
        ) from error
    if "_" in number:
        raise InvalidSeries(
            f"line {line}: {row[value_column]!r} is no number; leave it empty where none is known"
        )
    return SeriesRow(text, time, value)


def _time(text: str) -> float:
    """Unix seconds. Raises ValueError."""
    if re.fullmatch(r"\d+(\.\d*)?", text) and not re.fullmatch(r"(19|20)\d{6}", text):
        seconds = float(text)
        for above, per_second in _UNITS:
            if seconds >= above:
                return seconds / per_second
        return seconds
    moment = _moment(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _moment(text: str) -> datetime:
    if text.isascii():
        try:
            return datetime.fromisoformat(text.removesuffix(" UTC"))
        except ValueError:
            for form in _FORMS:
                try:
                    return datetime.strptime(text, form)  # noqa: DTZ007 - UTC is what no zone means here
                except ValueError:
                    continue
    raise ValueError(text)
