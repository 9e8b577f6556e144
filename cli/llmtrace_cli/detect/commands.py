"""`llmtrace detect`: the detectors on series and texts of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from llmtrace_analysis.detect.streaming.series_scorer import ALARM_SCORE, SeriesScorer
from llmtrace_cli.query.output import write_rows

from .csv_series import InvalidSeries, SeriesRow, read_series
from .texts import text

_NAMES = ("timestamp", "value", "score", "expected", "low", "high", "alarm")


@click.group(
    epilog="""\b
Examples:
  llmtrace detect score latency.csv
  llmtrace detect text messages.jsonl
"""
)
def detect() -> None:
    """Detectors on series and texts of your own."""


detect.add_command(text)


@detect.command(
    epilog="""\b
Examples:
  llmtrace detect score latency.csv                       a row of output for each of the file, on standard
  output llmtrace detect score latency.csv --output scored.csv
  llmtrace detect score export.csv --timestamp-column ds --value-column p95
  tail -f latency.csv | llmtrace detect score -           row by row, as they come
  llmtrace detect score latency.csv --threshold 0.99      fewer alarms

\b
The file: CSV with a timestamp and a value in each line, with or without a line of names. Times are ISO 8601
(without a zone: UTC), YYYY/MM/DD or MM/DD/YYYY with a time of day, or Unix time. A value may be missing
(empty, NaN, null); times may have gaps, come twice, and be from a second to a day apart.

\b
Columns of the output, in the order of the rows:
  timestamp   as it stands in the file
  value       empty where it is missing
  score       0 to 1: 1 - chance of a value as unusual as this one, by the rows before it. What repeats within
  a while (4% of the rows so far, 240 at most) is no news and scores less; a missing value scores 0
  expected    median of the same time on the last 7 days, before those are known of the last 36 values
  low, high   where 99% of past values lay around what was expected of them
  alarm       1 where the score reaches the threshold, else 0

\b
A row's output depends on it and the rows before it alone: what is scored today is not scored otherwise
tomorrow. Exit status: 0, or 1 for a file that cannot be read, with the line.
"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write instead of standard output.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=ALARM_SCORE,
    show_default=True,
    help="Score from which on a row is an alarm.",
)
@click.option(
    "--timestamp-column",
    metavar="NAME",
    help="Name or number of the column.  [default: by name, or the first]",
)
@click.option(
    "--value-column", metavar="NAME", help="Name or number of the column.  [default: by name, or the second]"
)
def score(
    file: Path, output: Path | None, threshold: float, timestamp_column: str | None, value_column: str | None
) -> None:
    """Score each value of a series by those before it: score, expected, low, high, alarm.

    FILE is CSV, or - for standard input.
    """
    scorer = SeriesScorer(threshold)
    try:
        with click.open_file(str(file), encoding="utf-8", errors="surrogateescape") as lines:
            write_rows(_NAMES, _scored(scorer, read_series(lines, timestamp_column, value_column)), output)
    except InvalidSeries as error:
        raise click.ClickException(f"{file}: {error}") from error
    except OSError as error:
        raise click.ClickException(
            f"{file} cannot be read or its scores not written: {error.strerror}"
        ) from error


def _scored(scorer: SeriesScorer, rows: Iterator[SeriesRow]) -> Iterator[Sequence[object]]:
    for row in rows:
        result = scorer.score(row.time, row.value)
        band = (_number(result.expected), _number(result.low), _number(result.high))
        yield (row.text, _number(row.value), round(result.score, 6), *band, int(result.alarm))


def _number(value: float) -> float | None:
    """With what digits mean something; nothing where it is not known."""
    return float(f"{value:.9g}") if math.isfinite(value) else None
