"""`llmtrace detect text`: a score for each text of a file of one's own, and a threshold of one's own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import click

from llmtrace.common.terminal import say
from llmtrace_cli.extras import needs

#: Texts between two lines of progress.
_PROGRESS_EVERY = 2_000


class TextRow(NamedTuple):
    """A line of the file."""

    id: str | int | None
    text: str


class InvalidTexts(ValueError):
    """A line that holds no text, with its number and what to do."""


def read_texts(lines: Iterable[str]) -> Iterator[TextRow]:
    """The texts of JSON lines `{"id"?, "text"}`, as the lines come. Raises InvalidTexts."""
    for number, line in enumerate(lines, 1):
        if not line.strip("\ufeff \t\r\n"):
            continue
        try:
            record = json.loads(line.removeprefix("\ufeff"))
        except (ValueError, RecursionError) as error:
            raise InvalidTexts(f'line {number}: this is no JSON; write {{"text": "..."}}') from error
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise InvalidTexts(f'line {number}: there is no text in it; write {{"text": "..."}}')
        name = record.get("id")
        if name is not None and (isinstance(name, bool) or not isinstance(name, (str, int))):
            raise InvalidTexts(f"line {number}: id must be a text or a whole number")
        yield TextRow(name, record["text"])


def share(text: str) -> float:
    """0.01 of `1%` or `0.01`. Raises click.BadParameter for what is not between 0 and 1."""
    number = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(%?)", text.strip())
    value = float(number.group(1)) / (100 if number.group(2) else 1) if number else 0.0
    if not 0 < value < 1:
        raise click.BadParameter("write a share such as 1% or 0.01", param_hint="--false-positives")
    return value


@click.command(
    epilog="""\b
Examples:
  llmtrace detect text messages.jsonl > scores.jsonl
  tail -f messages.jsonl | llmtrace detect text -              line by line, as they come
  llmtrace detect text messages.jsonl --threshold 0.9
  llmtrace detect text --calibrate ours.jsonl --false-positives 0.5%

\b
The file: a JSON object in each line, with the text and, if you like, an id. The output is one in each line:
  id          as it was written, or null
  score       0 to 1: probability of an attack where attacks and other texts are as frequent; at least
  0.99 where an exact pattern matches
  flagged     whether the score reaches the threshold
  sentence    the sentence that looks most like an attack, as it stands in the text
  family      what it looks most like: direct_injection, indirect_injection, jailbreak, forged_turns, …

\b
With --calibrate, FILE has texts of your own that are no attacks, and the output is one object: the threshold
that at most the wanted share of them reaches, for --threshold. It takes 1 / share texts at least.
Exit status: 0, or 1 for a file that cannot be read, with the line; what came before it is written.
"""
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--threshold", type=click.FloatRange(0, 1), help="Score from which on a text is flagged.  "
              "[default: that of the weights]")  # fmt: skip
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Find a threshold from texts that are no attacks.",
)
@click.option(
    "--false-positives",
    metavar="SHARE",
    default="1%",
    show_default=True,
    help="With --calibrate: share of those texts that may be flagged.",
)
def text(file: Path | None, threshold: float | None, calibrate: Path | None, false_positives: str) -> None:
    """Score texts for prompt injection and other attacks: score, flagged, sentence, family.

    FILE is JSON lines, or - for standard input.
    """
    source = calibrate or file
    if source is None or (calibrate and file):
        raise click.UsageError("name one FILE, to score or to --calibrate with")
    with needs("safety"):
        from llmtrace.safety import check

        if check.missing():
            raise ModuleNotFoundError(name={"numpy": "numpy"}.get(check.missing()[0], "re2"))
    allowed = share(false_positives)
    try:
        with click.open_file(str(source), encoding="utf-8", errors="surrogateescape") as lines:
            if calibrate:
                _calibrate(lines, allowed)
            else:
                _score(lines, threshold)
    except InvalidTexts as error:
        raise click.ClickException(f"{source}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{source} cannot be read: {error.strerror}") from error


def _score(lines: IO[str], threshold: float | None) -> None:
    from llmtrace.safety.check import check

    for number, row in enumerate(read_texts(lines), 1):
        result = check(row.text, threshold)
        fields = (row.id, round(result.score, 6), result.flagged, result.sentence, result.family)
        names = ("id", "score", "flagged", "sentence", "family")
        click.echo(json.dumps(dict(zip(names, fields, strict=True))))
        if number % _PROGRESS_EVERY == 0 and sys.stderr.isatty():
            say(f"{number:,} texts", err=True)


def _calibrate(lines: IO[str], allowed: float) -> None:
    from llmtrace.safety.check import check, threshold_for
    from llmtrace.safety.classifier import model

    texts = [row.text for row in read_texts(lines)]
    try:
        threshold = threshold_for(texts, allowed)
    except ValueError as error:
        raise InvalidTexts(str(error)) from error
    flagged = sum(check(text, threshold).flagged for text in texts)
    shipped = sum(check(text).flagged for text in texts)
    click.echo(
        json.dumps(
            {
                "threshold": threshold,
                "texts": len(texts),
                "false_positives": flagged / len(texts),
                "shipped_threshold": model().threshold,
                "shipped_false_positives": shipped / len(texts),
            }
        )
    )
